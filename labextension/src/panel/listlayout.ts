import type { Segment } from './segment';

export const ROW = 46;
export const HEADING = 30;

/** Something that has a place in the list: a heading of a group, or a run. */
export interface Item {
  readonly index: number;
  readonly segment: Segment;
  /** Of the run in its segment; -1 for the heading. */
  readonly at: number;
  readonly top: number;
}

/** Where everything is, without a look at every row. */
export class ListLayout {
  readonly height: number;
  readonly length: number;
  private readonly starts: number[] = [];
  private readonly tops: number[] = [];

  constructor(private readonly segments: readonly Segment[]) {
    let index = 0;
    let top = 0;
    for (const segment of segments) {
      this.starts.push(index);
      this.tops.push(top);
      const heading = segment.group === undefined ? 0 : 1;
      index += heading + segment.height;
      top += heading * HEADING + segment.height * ROW;
    }
    this.length = index;
    this.height = top;
  }

  item(index: number): Item | undefined {
    if (index < 0 || index >= this.length) {
      return undefined;
    }
    const found = lastAtMost(this.starts, index);
    const segment = this.segments[found]!;
    const heading = segment.group === undefined ? 0 : 1;
    const at = index - this.starts[found]! - heading;
    const top = this.tops[found]! + (at < 0 ? 0 : heading * HEADING + at * ROW);
    return { index, segment, at, top };
  }

  /** The item at a height, else the last one. */
  indexAt(y: number): number {
    const found = lastAtMost(this.tops, Math.max(0, y));
    const segment = this.segments[found];
    if (segment === undefined) {
      return 0;
    }
    const heading = segment.group === undefined ? 0 : 1;
    const below = y - this.tops[found]! - heading * HEADING;
    const at = below < 0 ? -1 : Math.min(segment.height - 1, Math.floor(below / ROW));
    return this.starts[found]! + Math.max(0, at + heading);
  }

  /** Where a run or a heading is in the whole list. */
  indexOf(segment: Segment, at: number): number {
    const found = this.segments.indexOf(segment);
    const heading = segment.group === undefined ? 0 : 1;
    return found < 0 ? -1 : this.starts[found]! + heading + at;
  }
}

/** The last of ascending numbers that is no greater; of equal ones the last, for the others are empty. */
function lastAtMost(numbers: readonly number[], most: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! <= most) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return Math.max(0, low - 1);
}
