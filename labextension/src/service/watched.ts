import type { Counts, LiveAsked, LiveTold } from '../api';
import type { PlaceListener } from '../tokens';

export type Level = 'rows' | 'counts';

/** Ends that are remembered, so that none is told twice after a new connection. */
const REMEMBERED = 1000;

/** A workspace that somebody hears of, and how far they have been told. */
export class Watched {
  readonly listeners = new Map<PlaceListener, Level>();
  /** What the server was told last over this connection. */
  told: Level | null = null;
  /** The last change that was told at all, and the last one whose rows were. */
  private seen: number | null = null;
  private seenRows: number | null = null;
  /** The first change that may be missing in a list. */
  private start = Infinity;
  private counts: Counts | null = null;
  private readonly ended = new Set<string>();

  /** How much is wanted; null where nobody listens. */
  get level(): Level | null {
    const levels = [...this.listeners.values()];
    return levels.includes('rows') ? 'rows' : (levels[0] ?? null);
  }

  /** Tell a new listener what is known already. */
  greet(listener: PlaceListener): void {
    if (this.counts !== null) {
      listener.counts?.(this.counts);
    }
  }

  /** Begin no later than at `seq`; whether more must be told than was asked for. */
  mustStartAt(seq: number): boolean {
    if (this.seenRows !== null && this.start <= seq) {
      return false;
    }
    this.start = seq;
    this.seenRows = seq;
    return true;
  }

  /** What to ask the server for, null if it knows. Of a hidden page only counts are wanted. */
  asked(place: string, hidden: boolean): LiveAsked | null {
    const wanted = this.level !== null && hidden ? 'counts' : this.level;
    if (wanted === this.told) {
      return null;
    }
    this.told = wanted;
    if (wanted === null) {
      return { kind: 'unwatch', place };
    }
    if (wanted === 'rows' && this.seenRows === null && this.seen !== null) {
      this.start = this.seenRows = this.seen;
    }
    const since = wanted === 'rows' ? this.seenRows : this.seen;
    return { kind: 'watch', place, level: wanted, since };
  }

  hear(told: LiveTold): void {
    if (told.kind === 'counts' && told.counts !== undefined) {
      this.counts = told.counts;
    }
    this.keepUp(told);
    const ended = told.kind === 'ended' ? this.newEnds(told) : [];
    for (const [listener, level] of [...this.listeners]) {
      if (told.kind === 'counts' && told.counts !== undefined) {
        listener.counts?.(told.counts);
      } else if (told.kind === 'changed' && level === 'rows') {
        listener.changed?.(told.rows ?? [], told.gone ?? [], told.seq ?? 0);
      } else if (told.kind === 'behind' && level === 'rows') {
        listener.behind?.();
      } else if (ended.length > 0) {
        listener.ended?.(ended);
      }
    }
  }

  private keepUp({ kind, seq }: LiveTold): void {
    if (seq === undefined) {
      return;
    }
    this.seen = seq;
    if (kind === 'changed') {
      this.seenRows = seq;
    } else if (kind === 'behind' || (this.told === 'rows' && this.seenRows === null)) {
      // Or the first word after `since: null`: all that comes from here on is told.
      this.start = this.seenRows = seq;
    }
  }

  private newEnds(told: LiveTold): NonNullable<LiveTold['rows']> {
    const found = (told.rows ?? []).filter(row => !this.ended.has(`${row.id} ${row.ended}`));
    for (const row of found) {
      this.ended.add(`${row.id} ${row.ended}`);
    }
    for (const oldest of this.ended) {
      if (this.ended.size <= REMEMBERED) {
        break;
      }
      this.ended.delete(oldest);
    }
    return found;
  }
}
