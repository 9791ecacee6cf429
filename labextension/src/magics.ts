/** A magic's line that shows runs against each other. */
export function compareLine(runs: readonly string[]): string {
  return `%aml_compare ${runs.map(quoted).join(' ')}`;
}

/** An id as a word of a magic's line. */
function quoted(id: string): string {
  return /^[\w.-]+$/.test(id) ? id : `'${id.replaceAll("'", `'"'"'`)}'`;
}
