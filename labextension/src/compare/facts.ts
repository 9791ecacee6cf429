import type { TranslationBundle } from '@jupyterlab/translation';

import type { ComparedMetric, ComparedRun, ComparedSection, Comparison } from '../api';
import { duration, number } from '../format';
import { hasEnded, lookOf } from '../states';

export type Kind = ComparedSection['kind'] | 'metrics';
export type Better = ComparedMetric['better'];
/** Which value of a metric is shown. */
export type Shown = 'last' | 'min' | 'max';

/** One thing that is known of each run, in the order of the runs. */
export interface Fact {
  readonly key: string;
  readonly kind: Kind;
  readonly name: string;
  readonly differs: boolean;
  readonly better: Better;
  readonly cells: readonly Cell[];
}

/** What one run, or several together, have of a fact; a value only where it is a number. */
export interface Cell {
  readonly text: string;
  readonly value: number | null;
  /** More of it, for who asks. */
  readonly more?: string;
}

/** One run, or several that differ in their seed alone. */
export interface Column {
  /** The id of its first run. */
  readonly key: string;
  readonly name: string;
  /** Places in the list of runs. */
  readonly runs: readonly number[];
}

export const EMPTY: Cell = { text: '–', value: null };
const SEED = /(^|[^a-z])(random[^a-z]?)?seed$/i;
const FEW = 3;

/** All that is known of the runs; `flipped` has what a reader said is better of a metric. */
export function factsOf(
  found: Comparison,
  shown: Shown,
  flipped: Readonly<Record<string, Better>>,
  trans: TranslationBundle
): Fact[] {
  const metrics = found.metrics.map(metric => metricFact(metric, shown, flipped));
  const byKind = (kind: Kind): Fact[] =>
    found.sections
      .filter(section => section.kind === kind)
      .flatMap(section => sectionFacts(section, found.runs.length, trans));
  return [
    ...ownFacts(found, trans),
    ...byKind('facts'),
    ...byKind('parameters'),
    ...byKind('tags'),
    ...metrics
  ];
}

function metricFact(
  metric: ComparedMetric,
  shown: Shown,
  flipped: Readonly<Record<string, Better>>
): Fact {
  const cells = metric.last.map((last, nth) => {
    const [low, high] = [metric.min[nth] ?? null, metric.max[nth] ?? null];
    const value = shown === 'last' ? last : shown === 'min' ? low : high;
    const range = low === null ? {} : { more: `${number(low)} … ${number(high)}` };
    return value === null
      ? EMPTY
      : typeof value === 'string'
        ? { text: value, value: null }
        : { text: number(value), value, ...range };
  });
  const { name } = metric;
  const better = name in flipped ? (flipped[name] ?? null) : metric.better;
  return { key: `metrics ${name}`, kind: 'metrics', name, better, differs: differ(cells), cells };
}

function sectionFacts(
  section: ComparedSection,
  runs: number,
  trans: TranslationBundle
): Fact[] {
  const names: Readonly<Record<string, string>> = {
    target: trans.__('target'),
    environment: trans.__('environment'),
    source: trans.__('source'),
    commit: trans.__('commit')
  };
  return section.rows.map(({ name, differs, values }) => {
    const said = differs ? values : new Array<string | null>(runs).fill(values[0] ?? null);
    // A tag may have no value; that it is there tells.
    const cells = said.map(value =>
      value === null
        ? EMPTY
        : // What names something is no number, though its digits may be one.
          { text: value || '✓', value: section.kind === 'facts' ? null : asNumber(value) }
    );
    const words = section.kind === 'facts' ? (names[name] ?? name) : name;
    return { key: `${section.kind} ${name}`, kind: section.kind, name: words, differs, better: null, cells };
  });
}

/** What the runs themselves tell: state, and how long they took. */
function ownFacts({ runs, now }: Comparison, trans: TranslationBundle): Fact[] {
  const states = runs.map(run => ({ text: lookOf(run.status, trans).label, value: null }));
  const took = runs.map(run => tookOf(run, now));
  const own = (name: string, key: string, cells: readonly Cell[]): Fact => {
    return { key: `facts ${key}`, kind: 'facts', name, better: null, differs: differ(cells), cells };
  };
  return [own(trans.__('state'), 'state', states), own(trans.__('duration'), 'duration', took)];
}

function tookOf(run: ComparedRun, now: number): Cell {
  if (run.started === null) {
    return EMPTY;
  }
  const value = Math.max(0, (run.ended ?? now) - run.started);
  return { text: duration(value), value };
}

/** A text as the number that it is. */
function asNumber(text: string): number | null {
  const value = text.trim() === '' ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

function differ(cells: readonly Cell[]): boolean {
  return cells.some(cell => cell.text !== cells[0]?.text || cell.value !== cells[0]?.value);
}

// Columns ---------------------------------------------------------------------------------------

/** A column for each run. */
export function columnsOf(runs: readonly ComparedRun[]): Column[] {
  return runs.map((run, nth) => ({ key: run.id, name: run.name, runs: [nth] }));
}

/** A column for all runs that have the same parameters but for their seed. */
export function seedColumns(
  runs: readonly ComparedRun[],
  facts: readonly Fact[],
  trans: TranslationBundle
): Column[] {
  const telling = facts.filter(fact => fact.kind === 'parameters' && !SEED.test(fact.name));
  const groups = new Map<string, number[]>();
  runs.forEach((run, nth) => {
    const key = JSON.stringify([run.experiment, ...telling.map(fact => fact.cells[nth]?.text)]);
    groups.set(key, [...(groups.get(key) ?? []), nth]);
  });
  return [...groups.values()].map(places => {
    const [first] = places.map(nth => runs[nth]);
    const more = trans.__('%1 and %2 more', first?.name ?? '', places.length - 1);
    const name = places.length > 1 ? more : (first?.name ?? '');
    return { key: first?.id ?? '', name, runs: places };
  });
}

/** Whether there are runs that differ in their seed alone. */
export function hasSeeds(runs: readonly ComparedRun[], facts: readonly Fact[]): boolean {
  const seeds = facts.filter(fact => fact.kind === 'parameters' && SEED.test(fact.name));
  if (!seeds.some(fact => fact.differs)) {
    return false;
  }
  return seedColumns(runs, facts, { __: (text: string) => text } as TranslationBundle).some(
    column => column.runs.length > 1
  );
}

/** What a column has of a fact: of several numbers their mean and how far they spread. */
export function cellOf(fact: Fact, column: Column): Cell {
  const cells = column.runs.map(nth => fact.cells[nth] ?? EMPTY);
  const [first = EMPTY] = cells;
  if (!differ(cells)) {
    return first;
  }
  const values = cells.flatMap(cell => cell.value ?? []);
  if (values.length === cells.length && fact.kind !== 'parameters') {
    return meanOf(values, fact.key === 'facts duration' ? duration : number);
  }
  const texts = [...new Set(cells.map(cell => cell.text))];
  const text = texts.slice(0, FEW).join(', ') + (texts.length > FEW ? ', …' : '');
  return { text, value: null, more: texts.join(', ') };
}

function meanOf(values: readonly number[], shown: (value: number) => string): Cell {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const spread = Math.sqrt(square / Math.max(1, values.length - 1));
  return { text: `${shown(mean)} ± ${shown(spread)}`, value: mean, more: values.map(shown).join(', ') };
}

/** Which columns are the best of a fact; none where all are as good, or nobody knows what is better. */
export function bestOf(fact: Fact, columns: readonly Column[]): ReadonlySet<string> {
  const cells = columns.map(column => [column.key, cellOf(fact, column).value] as const);
  const known = cells.filter((cell): cell is readonly [string, number] => cell[1] !== null);
  if (fact.better === null || known.length < 2) {
    return new Set();
  }
  const values = known.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const best = fact.better === 'min' ? low : high;
  return new Set(low === high ? [] : known.filter(([, value]) => value === best).map(([key]) => key));
}

/** How far a value is from that of the baseline, in percent; empty where that says nothing. */
export function percentOf(value: number | null, base: number | null): string {
  if (value === null || base === null || base === 0 || value === base) {
    return '';
  }
  const percent = (100 * (value - base)) / Math.abs(base);
  const size = Math.abs(percent);
  const digits = size >= 100 ? 0 : size >= 1 ? 1 : 2;
  return `${percent < 0 ? '−' : '+'}${size >= 1e6 ? size.toExponential(0) : size.toFixed(digits)} %`;
}

/** The columns by a fact: numbers before texts, and those that have nothing at the end. */
export function sorted(
  columns: readonly Column[],
  fact: Fact | undefined,
  descending: boolean
): Column[] {
  if (fact === undefined) {
    return [...columns];
  }
  const sign = descending ? -1 : 1;
  const cells = new Map(columns.map(column => [column.key, cellOf(fact, column)]));
  const cell = (column: Column): Cell => cells.get(column.key) ?? EMPTY;
  const rank = (column: Column): number =>
    cell(column).value !== null ? 0 : cell(column).text === EMPTY.text ? 2 : 1;
  return [...columns].sort((a, b) => {
    const [left, right] = [cell(a), cell(b)];
    const order =
      left.value !== null && right.value !== null
        ? left.value - right.value
        : left.text.localeCompare(right.text, undefined, { numeric: true });
    return rank(a) - rank(b) || sign * order;
  });
}

/** Whether a run may still change. */
export function isLive(run: ComparedRun): boolean {
  return !hasEnded(run.status);
}

// Copies ----------------------------------------------------------------------------------------

/** The table as values separated by commas, a line for each run. */
export function asCsv(facts: readonly Fact[], columns: readonly Column[], runs: readonly ComparedRun[]): string {
  const ids = (column: Column): string => column.runs.map(nth => runs[nth]?.id).join(' ');
  const head = ['run', 'name', ...facts.map(fact => fact.name)];
  const lines = columns.map(column => [
    ids(column),
    column.name,
    ...facts.map(fact => exactly(cellOf(fact, column)))
  ]);
  return [head, ...lines].map(line => line.map(quoted).join(',')).join('\r\n');
}

/** The table as Markdown. */
export function asMarkdown(facts: readonly Fact[], columns: readonly Column[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(inMarkdown).join(' | ')} |`;
  return [
    line(['', ...columns.map(column => column.name)]),
    `| --- |${' ---: |'.repeat(columns.length)}`,
    ...facts.map(fact => {
      const best = bestOf(fact, columns);
      const cells = columns.map(column => {
        const { text } = cellOf(fact, column);
        return best.has(column.key) ? `${text} ★` : text;
      });
      return line([fact.name, ...cells]);
    })
  ].join('\n');
}

function exactly(cell: Cell): string {
  const isAlone = cell.value !== null && !cell.text.includes('±');
  return isAlone ? String(cell.value) : cell === EMPTY ? '' : cell.text;
}

function quoted(text: string): string {
  // A program for tables takes what begins so for a formula.
  const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function inMarkdown(text: string): string {
  return text.replace(/[\\|`*_<>[\]]/g, '\\$&').replace(/\s+/g, ' ');
}
