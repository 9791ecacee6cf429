/** The first rows of a text of separated values; quotes hold separators, line ends and quotes. */
export function rowsOf(text: string, most: number): string[][] {
  const separator = separatorOf(text);
  const rows: string[][] = [];
  let row: string[] = [];
  let at = 0;
  while (at < text.length && rows.length < most) {
    const [cell, end] = text[at] === '"' ? quoted(text, at) : plain(text, at, separator);
    row.push(cell);
    at = end + 1;
    if (text[end] !== separator) {
      rows.push(row);
      row = [];
      at += text[end] === '\r' && text[at] === '\n' ? 1 : 0;
    } else if (at === text.length) {
      row.push('');
    }
  }
  if (row.length > 0) {
    rows.push(row);
  }
  return rows;
}

function separatorOf(text: string): string {
  const line = text.slice(0, text.search(/[\r\n]|$/));
  const counts = [',', ';', '\t'].map(one => [line.split(one).length, one] as const);
  return counts.reduce((best, one) => (one[0] > best[0] ? one : best))[1];
}

/** A cell without quotes, and where it ends. */
function plain(text: string, from: number, separator: string): readonly [string, number] {
  let end = from;
  while (end < text.length && text[end] !== separator && text[end] !== '\n' && text[end] !== '\r') {
    end++;
  }
  return [text.slice(from, end), end];
}

function quoted(text: string, from: number): readonly [string, number] {
  let cell = '';
  let at = from + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote < 0) {
      return [cell + text.slice(at), text.length];
    }
    cell += text.slice(at, quote);
    if (text[quote + 1] !== '"') {
      return [cell, quote + 1];
    }
    cell += '"';
    at = quote + 2;
  }
}
