import { Signal, type ISignal } from '@lumino/signaling';

import type { GroupList, RunList, RunRow } from '../api';
import { hasEnded } from '../states';
import { ServerError, type IRunService, type Query } from '../tokens';
import { askTyped, type Typed } from '../typed';
import { METRIC, USUAL, isPlain, shownMetric, type Asking } from './asking';
import { Segment, type Entry } from './segment';

/** Rows of one answer. */
export const PAGE = 100;
/** Milliseconds between two times that a list is asked for anew because runs have changed. */
const REST = 900;
const REMEMBERED = 5000;
/** So many runs are seen at once, though in groups. */
const FEW = 30;

/** rows: what rows say is other; list: also which there are, or where. */
export type Change = 'rows' | 'list';

/**
 * The list of runs as far as it was looked at: fetched a page at a time, and kept up to date by what
 * the server tells. Where a run belongs is worked out here for the usual order; for others it is asked.
 */
export class RunModel {
  segments: Segment[] = [];
  asking: Asking = USUAL;
  total = 0;
  /** Whether there was an answer to what is asked now. */
  isLoaded = false;
  problem: ServerError | null = null;
  /** What the server's clock is ahead of this machine's, in seconds. */
  ahead = 0;
  private place = '';
  private readonly entries = new Map<string, Entry>();
  private readonly signal = new Signal<this, Change>(this);
  private readonly pending = new Map<string, AbortController>();
  private changes = new Map<string, { row: RunRow; seq: number }>();
  private told = new Map<string, RunRow | null>();
  /** What was known last of runs, as far as their places hang on it. */
  private readonly signs = new Map<string, string>();
  private frame = 0;
  private timer = 0;
  private generation = 0;
  private asked = 0;
  /** Rows that are on screen, by segment. */
  private needs: { segment: Segment; first: number; last: number }[] = [];

  constructor(
    private readonly service: IRunService,
    /** Which groups were opened and closed by hand. */
    private readonly opened: { get(key: string): boolean | undefined; set(key: string, open: boolean): void }
  ) {}

  get changed(): ISignal<this, Change> {
    return this.signal;
  }

  dispose(): void {
    this.forget();
    Signal.clearData(this);
  }

  /** The row of a run, if it was fetched. */
  row(id: string): RunRow | undefined {
    return this.entries.get(id)?.row;
  }

  /** List something else, or the same anew; what is shown stays until the answer is there. */
  ask(place: string, asking: Asking): Promise<void> {
    if (place !== this.place) {
      this.segments = [];
      this.total = 0;
      this.isLoaded = false;
    }
    this.place = place;
    this.asking = asking;
    this.signs.clear();
    return this.reload(true);
  }

  /** Ask anew for what is on screen. */
  refresh(): Promise<void> {
    return this.reload(false);
  }

  /** Drop everything, such as when there is no workspace any more. */
  forget(): void {
    this.abort();
    window.clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.frame = this.timer = 0;
    this.entries.clear();
    this.told.clear();
    this.segments = [];
    this.isLoaded = false;
    this.place = '';
  }

  toggle(segment: Segment, open: boolean): void {
    segment.isOpen = open;
    this.opened.set(this.openKey(segment.key), open);
    this.signal.emit('list');
  }

  /** These rows come into sight: what is missing or old of them, and a page around them, is fetched. */
  need(needs: { segment: Segment; first: number; last: number }[]): void {
    this.needs = needs;
    if (this.problem !== null) {
      // Else it would be asked again and again; whoever mends it asks anew.
      return;
    }
    for (const { segment, first, last } of needs) {
      const end = Math.ceil(segment.rows.length / PAGE) - 1;
      const around = Math.min(end, Math.floor((last + PAGE / 2) / PAGE));
      for (let page = Math.max(0, Math.floor((first - PAGE / 2) / PAGE)); page <= around; page++) {
        if (!segment.fresh.has(page)) {
          void this.fetchPage(segment, page);
        }
      }
    }
  }

  /** What the server tells of runs; bursts become one change at the next frame. */
  hear(rows: readonly RunRow[], gone: readonly string[], seq: number): void {
    for (const row of rows) {
      this.told.set(row.id, row);
      if (this.pending.size > 0) {
        this.changes.set(row.id, { row, seq });
      }
    }
    gone.forEach(id => this.told.set(id, null));
    this.frame ||= requestAnimationFrame(() => this.settle());
  }

  // Asking ------------------------------------------------------------------------------------

  private async reload(anew: boolean): Promise<void> {
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.abort();
    if (this.place === '') {
      return;
    }
    const generation = ++this.generation;
    this.asked = performance.now();
    try {
      const load = this.asking.by === '' ? this.loadRows : this.loadGroups;
      await load.call(this, anew, generation);
      if (generation === this.generation) {
        this.problem = null;
        this.isLoaded = true;
        this.signal.emit('list');
      }
    } catch (error) {
      if (generation === this.generation) {
        this.fail(error);
      }
    }
  }

  private async loadRows(anew: boolean, generation: number): Promise<void> {
    const [before] = this.segments;
    const kept = !anew && before?.group === undefined ? before : undefined;
    const need = kept ? this.needs.find(each => each.segment === kept) : undefined;
    const page = Math.floor((need?.first ?? 0) / PAGE);
    const answer = await this.fetchRows(undefined, page, 'list');
    if (answer === null || generation !== this.generation) {
      return;
    }
    if (kept === undefined) {
      this.entries.clear();
    }
    const segment = kept ?? new Segment(undefined, true);
    this.segments = [segment];
    this.total = answer.total;
    segment.fresh.clear();
    this.fill(segment, page, answer);
  }

  private async loadGroups(anew: boolean, generation: number): Promise<void> {
    const { filter, by } = this.asking;
    const query = { place: this.place, filter, by };
    const answer = await this.get<GroupList>('groups', query, 'list');
    if (answer === null || generation !== this.generation) {
      return;
    }
    const kept = anew ? [] : this.segments;
    const before = new Map(kept.map(each => [each.group && each.key, each]));
    if (anew) {
      this.entries.clear();
    }
    this.total = answer.total;
    this.segments = answer.groups.map(group => {
      const segment = before.get(group.key) ?? this.newSegment(group);
      segment.group = group;
      segment.fresh.clear();
      segment.resize(group.total);
      return segment;
    });
  }

  private newSegment(group: GroupList['groups'][number]): Segment {
    // Of many runs one wants to see the groups first, and what happens in them.
    const usual = this.total <= FEW || group.live > 0;
    return new Segment(group, this.opened.get(this.openKey(group.key)) ?? usual);
  }

  private openKey(group: string): string {
    return `${this.place} ${this.asking.by} ${group}`;
  }

  private async fetchPage(segment: Segment, page: number): Promise<void> {
    const key = `${segment.key} ${page}`;
    if (this.pending.has(key)) {
      return;
    }
    const { generation } = this;
    try {
      const answer = await this.fetchRows(segment, page, key);
      if (answer !== null && generation === this.generation) {
        this.fill(segment, page, answer);
        this.signal.emit('list');
      }
    } catch (error) {
      this.fail(error);
    }
  }

  private fetchRows(segment: Segment | undefined, page: number, key: string): Promise<RunList | null> {
    const { filter, by, sort, descending } = this.asking;
    const group = segment?.group ? { by, group: segment.key } : {};
    const query = { place: this.place, filter, sort, descending, ...group };
    return this.get<RunList>('runs', { ...query, offset: page * PAGE, limit: PAGE }, key);
  }

  /** An answer; null if it is no longer wanted. */
  private async get<Answer extends Typed>(path: string, query: Query, key: string): Promise<Answer | null> {
    const abort = new AbortController();
    this.pending.set(key, abort);
    try {
      return await askTyped<Answer>(this.service, path, query, abort.signal);
    } catch (error) {
      if (abort.signal.aborted) {
        return null;
      }
      throw error;
    } finally {
      if (this.pending.get(key) === abort) {
        this.pending.delete(key);
      }
      if (this.pending.size === 0) {
        // Until all are filled in, which is done before the next task.
        const { changes } = this;
        setTimeout(() => this.changes === changes && this.pending.size === 0 && changes.clear());
      }
    }
  }

  private abort(): void {
    this.pending.forEach(each => each.abort());
    this.pending.clear();
  }

  private fail(error: unknown): void {
    this.problem = error instanceof ServerError ? error : null;
    if (this.problem === null) {
      throw error;
    }
    this.signal.emit('list');
  }

  private fill(segment: Segment, page: number, { rows, total, seq, now }: RunList): void {
    this.ahead = now - Date.now() / 1000;
    if (total !== segment.rows.length) {
      segment.resize(total);
      if (segment.group === undefined) {
        this.total = total;
      }
    }
    rows.forEach((row, index) => {
      const change = this.changes.get(row.id);
      const entry = { row: change !== undefined && change.seq > seq ? change.row : row };
      this.signs.set(row.id, this.signOf(entry.row));
      segment.rows[page * PAGE + index] = entry;
      this.entries.set(row.id, entry);
    });
    segment.fresh.add(page);
  }

  // What is told ------------------------------------------------------------------------------

  private settle(): void {
    this.frame = 0;
    const { told } = this;
    this.told = new Map();
    if (!this.isLoaded) {
      return;
    }
    const plain = isPlain(this.asking);
    let change: Change = 'rows';
    let isOld = false;
    for (const [id, row] of told) {
      const entry = this.entries.get(id);
      const other = entry?.row;
      if (row !== null && entry !== undefined) {
        entry.row = row;
      }
      const isNews = this.isNews(id, row);
      if (plain && (entry !== undefined || this.belongs(row))) {
        if ((entry !== undefined || isNews) && this.move(id, entry, other, row)) {
          change = 'list';
        }
      } else if (!plain && isNews) {
        isOld = true;
      }
    }
    this.signal.emit(change);
    if (isOld) {
      this.reloadSoon();
    }
  }

  /** Put a run to where it belongs in the usual order; whether the list is another one. */
  private move(
    id: string,
    entry: Entry | undefined,
    before: RunRow | undefined,
    row: RunRow | null
  ): boolean {
    const [segment] = this.segments;
    const stays = this.belongs(row);
    if (segment === undefined || (entry === undefined && !stays)) {
      return false;
    }
    if (entry !== undefined && before !== undefined) {
      if (stays && hasEnded(before.status) === hasEnded(row.status)) {
        return false;
      }
      this.resized(segment, segment.remove(entry) < 0 ? 0 : -1);
      this.entries.delete(id);
    }
    if (stays) {
      return this.insert(segment, entry ?? { row }) || entry !== undefined;
    }
    return true;
  }

  private insert(segment: Segment, entry: Entry): boolean {
    const index = segment.insert(entry);
    if (index < 0) {
      // Somewhere among rows that were not fetched: nothing is known of those from here on.
      this.reloadSoon();
      return false;
    }
    this.entries.set(entry.row.id, entry);
    this.resized(segment, 1);
    return true;
  }

  private resized(segment: Segment, by: number): void {
    this.total = segment.rows.length;
    if (by !== 0) {
      // Pages further down have moved by a row, and so have what was fetched of them.
      const last = Math.floor(segment.rows.findIndex(each => each === undefined) / PAGE);
      segment.fresh.forEach(page => last >= 0 && page >= last && segment.fresh.delete(page));
    }
  }

  private belongs(row: RunRow | null): row is RunRow {
    return row !== null && row.parent === null && !row.archived;
  }

  /** Whether what has changed may be what the filter or the order asks for. */
  private isNews(id: string, row: RunRow | null): boolean {
    const before = this.signs.get(id);
    const sign = row === null ? '' : this.signOf(row);
    if (this.signs.size > REMEMBERED) {
      this.signs.clear();
    }
    this.signs.set(id, sign);
    return before !== sign;
  }

  private signOf(row: RunRow): string {
    const { sort, filter } = this.asking;
    const metric = sort.startsWith(METRIC) ? row.metrics[shownMetric(this.asking)] : null;
    const metrics = filter.includes(METRIC) ? row.metrics : null;
    return JSON.stringify([row.status, row.archived, row.name, row.tags, metric, metrics]);
  }

  /** Too much has changed to be told, or places cannot be worked out here. */
  reloadSoon(): void {
    const wait = Math.max(60, this.asked + REST - performance.now());
    this.timer ||= window.setTimeout(() => void this.refresh(), wait);
  }
}
