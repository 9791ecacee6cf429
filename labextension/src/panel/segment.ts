import type { Group, RunRow } from '../api';
import { hasEnded } from '../states';

/** A run in the list; it stays the same object while its row changes. */
export interface Entry {
  row: RunRow;
}

/** All runs that match, or those of a group; what was not fetched yet is undefined. */
export class Segment {
  rows: (Entry | undefined)[] = [];
  /** Pages that are as the server has them. */
  readonly fresh = new Set<number>();

  constructor(
    /** Undefined where runs are not grouped. */
    public group: Group | undefined,
    public isOpen: boolean
  ) {
    this.resize(group?.total ?? 0);
  }

  get key(): string {
    return this.group?.key ?? '';
  }

  /** Rows that the list shows of it. */
  get height(): number {
    return this.isOpen ? this.rows.length : 0;
  }

  resize(total: number): void {
    const { length } = this.rows;
    if (total < length) {
      this.rows.length = total;
    } else if (total > length) {
      // Not by setting the length: arrays with holes are slow to insert into.
      this.rows = this.rows.concat(new Array<undefined>(total - length).fill(undefined));
    }
  }

  /** Put a run where it belongs among rows that go on first, then newest first; -1 if that is unknown. */
  insert(entry: Entry): number {
    const index = this.placeOf(entry.row);
    if (index >= 0) {
      this.rows.splice(index, 0, entry);
    }
    return index;
  }

  remove(entry: Entry): number {
    const index = this.rows.indexOf(entry);
    if (index >= 0) {
      this.rows.splice(index, 1);
    }
    return index;
  }

  private placeOf(row: RunRow): number {
    for (let index = 0; index < this.rows.length; index++) {
      const other = this.rows[index];
      if (other === undefined) {
        return -1;
      }
      if (comesBefore(row, other.row)) {
        return index;
      }
    }
    return this.rows.length;
  }
}

function comesBefore(one: RunRow, other: RunRow): boolean {
  const ended = hasEnded(one.status);
  return ended === hasEnded(other.status) ? one.created > other.created : !ended;
}
