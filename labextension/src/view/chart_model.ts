import type { Unit } from './chart_ticks';

export type Range = readonly [low: number, high: number];

/** The room around the lines, in pixels. */
export interface Margin {
  top: number;
  right: number;
  bottom: number;
  left: number;
}

/** One line as it is drawn, in the units of the axes: on a logarithmic one the logarithms. */
export interface Curve {
  label: string;
  last: string;
  colour: string;
  dash: string;
  x: ArrayLike<number>;
  y: ArrayLike<number>;
  /** What was logged, where the line is a smoothed one. */
  logged: { x: ArrayLike<number>; y: ArrayLike<number> } | null;
  /** Whether a reader does not want to see it. */
  hidden?: boolean;
}

/** Places without a number, and what stood there. */
export interface Gap {
  x: ArrayLike<number>;
  kinds: readonly string[];
  colour: string;
}

/** A chart as its pane knows it, whoever draws it. */
export interface ChartModel {
  /** Called after anything in it has changed. */
  readonly watchers: Set<() => void>;
  readonly margin: Margin;
  readonly unit: Unit;
  readonly log: { x: boolean; y: boolean };
  readonly range: { x: Range; y: Range };
  readonly curves: readonly Curve[];
  readonly gaps: readonly Gap[];
  /** Whether a reader chose what is seen. */
  readonly zoomed: boolean;
  /** Whether a reader chose what is seen of the height. */
  readonly isHigh: boolean;
  /** The plot is so large by now. */
  resize(width: number, height: number): void;
  /** Show this part, with whatever detail there is in it. */
  show(part: { x?: Range; y?: Range }): void;
  /** Show everything again. */
  showAll(): void;
  /** Whether this range holds all there is to see. */
  holdsAll(x: Range): boolean;
  /** Show only some lines; only where that can be done. */
  readonly choose?: (isHidden: (curve: Curve) => boolean) => void;
  /** A pointer is over this place, or over none. */
  readonly point?: (place: number | null) => void;
}

/** Whether it is wide enough for its ends to be told apart. */
export function isRange([low, high]: Range): boolean {
  const size = Math.max(Math.abs(low), Math.abs(high));
  return Number.isFinite(high - low) && high - low > size * 1e-12;
}

/** A part of a range, by its ends as parts of it. */
export function part([low, high]: Range, from: number, to: number): Range {
  return [low + from * (high - low), low + to * (high - low)];
}

/** A range that holds all that is between two ends, with some space; at its middle what is constant. */
export function around(low: number, high: number, space = 0): Range {
  if (!(low <= high)) {
    return [0, 1];
  }
  const size = Math.max(Math.abs(low), Math.abs(high));
  // Closer together than this they could not be told apart on the axis.
  if (high - low <= size * 1e-12) {
    const room = size * 0.1 || 1;
    return [low - room, high + room];
  }
  const room = (high - low) * space;
  return [low - room, high + room];
}

/** The index of the first of ascending numbers that is not below `value`. */
export function firstFrom(numbers: ArrayLike<number>, value: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** The index of the point nearest to a place, among those that have a value; -1 without any. */
export function nearestTo(x: ArrayLike<number>, y: ArrayLike<number>, place: number): number {
  const low = firstFrom(x, place);
  let [before, after] = [low - 1, low];
  while (before >= 0 && !Number.isFinite(y[before]!)) {
    before -= 1;
  }
  while (after < x.length && !Number.isFinite(y[after]!)) {
    after += 1;
  }
  if (after >= x.length) {
    return before;
  }
  return before >= 0 && place - x[before]! < x[after]! - place ? before : after;
}
