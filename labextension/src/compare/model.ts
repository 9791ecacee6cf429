import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';

import type { CompareAsked, ComparedMetric, Comparison, Problem, RunRow } from '../api';
import type { ParallelChoice, ScatterChoice } from '../plot';
import { hasEnded } from '../states';
import { ServerError, type IRunService } from '../tokens';
import {
  columnsOf,
  factsOf,
  hasSeeds,
  seedColumns,
  sorted,
  type Better,
  type Column,
  type Fact,
  type Shown
} from './facts';

/** Runs that one page compares at most, and runs that are drawn together. */
export const MOST = 500;
export const MOST_DRAWN = 20;
/** Milliseconds between the end of a run and the question for its values. */
const SETTLED = 1500;
/** Milliseconds between two looks at values that go on. */
const PACE = 1000;

/** The same as a type that JSON is known to hold. */
type Plain<Shape> = { readonly [Name in keyof Shape]: Shape[Name] };

/** What a page remembers; plain JSON. */
export interface Choices {
  readonly place: string;
  readonly runs: readonly string[];
  readonly hidden: readonly string[];
  /** Runs that are drawn; undefined for the first ones. */
  readonly drawn?: readonly string[];
  readonly baseline: string;
  readonly sort: string;
  readonly descending: boolean;
  /** Show what is the same in all runs as well. */
  readonly all: boolean;
  readonly turned: boolean | null;
  readonly shown: Shown;
  readonly seeds: boolean;
  readonly better: Readonly<Record<string, Better>>;
  /** Sections that are folded up. */
  readonly folded: readonly string[];
  readonly parallel: Plain<ParallelChoice> | null;
  readonly scatter: Plain<ScatterChoice> | null;
}

export const FIRST: Omit<Choices, 'place' | 'runs'> = {
  hidden: [],
  baseline: '',
  sort: '',
  descending: false,
  all: false,
  turned: null,
  shown: 'last',
  seeds: false,
  better: {},
  folded: [],
  parallel: null,
  scatter: null
};

/** The runs of one page, what is known of them, and what the reader chose. */
export class CompareModel implements IDisposable {
  /** What is known; undefined until the first answer. */
  found: Comparison | undefined;
  /** Why there is no answer, or not the newest. */
  problem: Problem | undefined;
  private readonly changed = new Signal<this, 'choices' | 'found'>(this);
  private facts: Fact[] | undefined;
  private asked = 0;
  /** Seconds by which the server's clock is ahead of ours. */
  private ahead = 0;
  private watching: IDisposable | undefined;
  private timer = 0;
  private pace = 0;
  private gone = false;
  private visible = false;
  private stale = true;

  constructor(
    readonly service: IRunService,
    readonly trans: TranslationBundle,
    private chosen: Choices
  ) {}

  get isDisposed(): boolean {
    return this.gone;
  }

  /** Emitted with what has changed. */
  get stateChanged(): ISignal<this, 'choices' | 'found'> {
    return this.changed;
  }

  get choices(): Choices {
    return this.chosen;
  }

  choose(change: Partial<Choices>): void {
    const before = this.chosen;
    this.chosen = { ...before, ...change };
    if (change.shown !== undefined || change.better !== undefined) {
      this.facts = undefined;
    }
    this.changed.emit('choices');
    if (change.runs !== undefined && change.runs.join() !== before.runs.join()) {
      this.stale = true;
      this.refresh();
    }
  }

  dispose(): void {
    if (!this.gone) {
      this.gone = true;
      this.setVisible(false);
      Signal.clearData(this);
    }
  }

  /** Whether the page is on screen; while it is not, nothing is fetched. */
  setVisible(visible: boolean): void {
    if (visible === this.visible) {
      return;
    }
    this.visible = visible;
    this.watching?.dispose();
    this.watching = undefined;
    window.clearTimeout(this.timer);
    window.clearTimeout(this.pace);
    this.pace = 0;
    if (visible) {
      const { place } = this.chosen;
      this.watching = this.service.live.watch(place, 'rows', {
        changed: (rows, gone) => this.onRows(rows, gone),
        behind: () => this.askAnew()
      });
      this.stale ||= this.found?.runs.some(run => !hasEnded(run.status)) ?? true;
      this.refresh();
    }
  }

  // What is shown

  /** All facts. */
  get allFacts(): readonly Fact[] {
    const { found, chosen, trans } = this;
    if (found === undefined) {
      return [];
    }
    this.facts ??= factsOf(found, chosen.shown, chosen.better, trans);
    return this.facts;
  }

  /** The facts that the table shows, those that differ or all. */
  get shownFacts(): readonly Fact[] {
    const all = this.chosen.all || (this.found?.runs.length ?? 0) < 2;
    // A metric is a result: that two runs have the same is worth a line.
    return this.allFacts.filter(fact => all || fact.differs || fact.kind === 'metrics');
  }

  /** The columns that are not hidden, in the reader's order, the baseline first. */
  get columns(): readonly Column[] {
    const { hidden, sort, descending, baseline } = this.chosen;
    const runs = this.found?.runs ?? [];
    const all = this.isBySeeds ? seedColumns(runs, this.allFacts, this.trans) : columnsOf(runs);
    const shown = all.filter(column => !hidden.includes(column.key));
    const fact = this.allFacts.find(each => each.key === sort);
    const inOrder = sorted(shown, fact, descending);
    const first = inOrder.filter(column => column.key === baseline);
    return [...first, ...inOrder.filter(column => column.key !== baseline)];
  }

  /** Whether runs that differ in their seed alone stand together. */
  get isBySeeds(): boolean {
    return this.chosen.seeds && this.hasSeeds;
  }

  get hasSeeds(): boolean {
    return hasSeeds(this.found?.runs ?? [], this.allFacts);
  }

  get baseline(): Column | undefined {
    return this.columns.find(column => column.key === this.chosen.baseline);
  }

  /** The ids of the runs that are drawn, at most as many as there can be. */
  get drawn(): readonly string[] {
    const { drawn, hidden } = this.chosen;
    const known = (this.found?.runs ?? []).map(run => run.id).filter(id => !hidden.includes(id));
    const wanted = drawn === undefined ? known : known.filter(id => drawn.includes(id));
    return wanted.slice(0, MOST_DRAWN);
  }

  /** Draw a run, or no more; false where there are as many as can be. */
  draw(id: string, wanted: boolean): boolean {
    const drawn = this.drawn.filter(each => each !== id);
    if (wanted && drawn.length >= MOST_DRAWN) {
      return false;
    }
    this.choose({ drawn: wanted ? [...drawn, id] : drawn });
    return true;
  }

  // Asking

  /** Ask for what is known now. */
  askAnew(): void {
    this.stale = true;
    this.refresh();
  }

  private refresh(): void {
    if (this.visible && this.stale && !this.gone) {
      void this.ask();
    }
  }

  private async ask(): Promise<void> {
    const nth = ++this.asked;
    const { place, runs } = this.chosen;
    this.stale = false;
    const isCurrent = (): boolean => nth === this.asked && !this.gone;
    try {
      // Last values come at once from the index; the least and greatest are read from all points.
      for (const ranges of [false, true]) {
        const body: CompareAsked = { runs: [...runs], ranges };
        const found = await this.service.post<Comparison>('compare', body, { place });
        if (!isCurrent()) {
          return;
        }
        this.take(ranges ? found : keptRanges(found, this.found));
      }
    } catch (error) {
      if (isCurrent()) {
        this.stale = true;
        this.problem =
          error instanceof ServerError ? error.problem : { message: String(error), hint: '' };
        this.changed.emit('found');
      }
    }
  }

  private take(found: Comparison): void {
    this.problem = undefined;
    this.ahead = found.now - Date.now() / 1000;
    this.found = found;
    this.facts = undefined;
    this.changed.emit('found');
  }

  // Hearing

  private onRows(rows: readonly RunRow[], gone: readonly string[]): void {
    const { found } = this;
    if (found === undefined) {
      return;
    }
    const places = new Map(found.runs.map((run, nth) => [run.id, nth]));
    const ours = rows.filter(row => places.has(row.id));
    const ended = ours.some(row => hasEnded(row.status) && this.isGoingOn(row.id));
    if (ended || gone.some(id => places.has(id))) {
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.askAnew(), SETTLED);
    }
    if (ours.length > 0) {
      const news = { ...found, now: Date.now() / 1000 + this.ahead };
      this.found = ours.reduce((known, row) => withRow(known, row, places.get(row.id) ?? 0), news);
      this.facts = undefined;
      this.pace ||= window.setTimeout(() => {
        this.pace = 0;
        this.changed.emit('found');
      }, PACE);
    }
  }

  private isGoingOn(id: string): boolean {
    return this.found?.runs.some(run => run.id === id && !hasEnded(run.status)) ?? false;
  }
}

/** A first answer with what was read before of runs that it has as well. */
function keptRanges(found: Comparison, before: Comparison | undefined): Comparison {
  if (before === undefined) {
    return found;
  }
  const places = new Map(before.runs.map((run, nth) => [run.id, nth]));
  const old = new Map(before.metrics.map(metric => [metric.name, metric]));
  const kept = (metric: ComparedMetric, which: 'min' | 'max'): (number | null)[] =>
    found.runs.map(run => old.get(metric.name)?.[which][places.get(run.id) ?? -1] ?? null);
  const metrics = found.metrics.map(metric => {
    return { ...metric, min: kept(metric, 'min'), max: kept(metric, 'max') };
  });
  return { ...found, metrics };
}

/** What is known with the news of one run. */
function withRow(found: Comparison, row: RunRow, place: number): Comparison {
  const runs = found.runs.map((run, nth) => {
    const { status, started, ended } = row;
    return nth === place ? { ...run, status, started, ended } : run;
  });
  const known = new Set(found.metrics.map(metric => metric.name));
  const metrics = found.metrics.map(metric => withValue(metric, row, place));
  for (const name of Object.keys(row.metrics).filter(each => !known.has(each))) {
    const empty = runs.map(() => null);
    metrics.push(withValue({ name, better: null, last: empty, min: empty, max: empty }, row, place));
  }
  return { ...found, runs, metrics };
}

function withValue(metric: ComparedMetric, row: RunRow, place: number): ComparedMetric {
  const value = row.metrics[metric.name];
  if (value === undefined || value === null) {
    return metric;
  }
  const replaced = <Value>(values: Value[], made: (old: Value) => Value): Value[] =>
    values.map((old, nth) => (nth === place ? made(old) : old));
  return {
    ...metric,
    last: replaced(metric.last, () => value),
    // Where they have not been read, one value does not tell them.
    min: replaced(metric.min, old => (old === null ? null : Math.min(old, value))),
    max: replaced(metric.max, old => (old === null ? null : Math.max(old, value)))
  };
}
