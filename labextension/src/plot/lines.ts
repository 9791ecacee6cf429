import type { ChartOptions, PlotData, PlotLine } from '../protocol';
import { around, firstFrom, type Range } from '../view/chart_model';

/** What of the options changes where points stand. */
export interface Look {
  readonly axis: ChartOptions['axis'];
  readonly logX: boolean;
  readonly logY: boolean;
}

export type Numbers = Float64Array;

/** Points in the units of the axes, ascending in x; a line is broken where y is NaN. */
export interface Points {
  readonly x: Numbers;
  readonly y: Numbers;
}

/** What stood where there is no number to draw; 2 is what a logarithmic axis cannot show. */
export const GAPS: ReadonlyMap<number, string> = new Map([
  [0, 'NaN'],
  [1, '∞'],
  [-1, '−∞'],
  [2, '≤ 0']
]);

/** A line in the units of the axes. */
export class DrawnLine {
  private weight = 0;
  private smooth: Points | null = null;

  constructor(
    readonly info: PlotLine,
    readonly points: Points,
    private readonly means: Points,
    /** Where there are gaps, and as y what stands there. */
    readonly gaps: Points,
    /** The same in what was logged. */
    readonly logged: Points
  ) {}

  /** The points, or a smooth line through them. */
  smoothed(weight: number): Points {
    if (weight <= 0 || this.means.x.length < 2) {
      return this.points;
    }
    if (this.smooth === null || this.weight !== weight) {
      this.weight = weight;
      this.smooth = smoothed(this.means, weight, this.gaps.x);
    }
    return this.smooth;
  }
}

/** The lines of a chart as they came, and how they stand on its axes. */
export class Plotted {
  readonly lines: readonly DrawnLine[];
  /** What it tells of: more than was asked for, so that a reader can move on. */
  readonly covers: Range;
  /** Whether it has every point that was logged. */
  readonly isWhole: boolean;

  constructor(
    private readonly data: PlotData,
    private readonly buffer: DataView,
    readonly look: Look
  ) {
    this.lines = read(data, buffer, look);
    const { low, high } = data;
    this.isWhole = low === null || high === null;
    this.covers =
      low === null || high === null
        ? [-Infinity, Infinity]
        : widened([toAxis(low, look.logX), toAxis(high, look.logX)]);
  }

  /** Whether nothing closer can be asked for. */
  get isExact(): boolean {
    return this.isWhole && this.lines.every(line => line.info.exact);
  }

  /** The same on other axes. */
  seen(look: Look): Plotted {
    return new Plotted(this.data, this.buffer, look);
  }

  /** From the first to the last place at which anything stands. */
  extent(isHidden: (line: DrawnLine) => boolean): Range {
    let [low, high] = [Infinity, -Infinity];
    for (const line of this.lines) {
      for (const { x } of isHidden(line) ? [] : [line.points, line.gaps]) {
        if (x.length > 0) {
          low = Math.min(low, x[0]!);
          high = Math.max(high, x[x.length - 1]!);
        }
      }
    }
    return around(low, high);
  }
}

/** A number as it stands on an axis. */
export function toAxis(value: number, isLog: boolean): number {
  return isLog ? Math.log10(Math.max(value, 1e-300)) : value;
}

/** What was logged of what stands on an axis. */
export function fromAxis(value: number, isLog: boolean): number {
  return isLog ? 10 ** Math.min(value, 308) : value;
}

function widened([low, high]: Range): Range {
  return [low - (high - low) / 2, high + (high - low) / 2];
}

function read(data: PlotData, buffer: DataView, look: Look): DrawnLine[] {
  const numbers = floats(buffer);
  let at = 0;
  const take = (count: number): Numbers => numbers.subarray(at, (at += count));
  return data.lines.map(info => {
    const logged = { x: take(info.points), y: take(info.points) };
    const means = { x: take(info.means), y: take(info.means) };
    const gaps = { x: take(info.gaps), y: take(info.gaps) };
    return lineOn(look, info, logged, means, gaps);
  });
}

/** The numbers of a buffer, where they lie if the machine can read them there. */
function floats({ buffer, byteOffset, byteLength }: DataView): Numbers {
  const end = byteOffset + byteLength - (byteLength % 8);
  return byteOffset % 8 === 0
    ? new Float64Array(buffer, byteOffset, (end - byteOffset) / 8)
    : new Float64Array(buffer.slice(byteOffset, end));
}

function lineOn(
  { logX, logY }: Look,
  info: PlotLine,
  logged: Points,
  means: Points,
  gaps: Points
): DrawnLine {
  if (!logX && !logY) {
    return new DrawnLine(info, logged, means, gaps, logged);
  }
  // What is left of a logarithmic axis is on no screen.
  const onAxis = logX ? ({ x, y }: Points) => from(x, y, firstFrom(x, 1e-300)) : same;
  const [shown, shownMeans, shownGaps] = [logged, means, gaps].map(onAxis) as [Points, Points, Points];
  const x = logX ? shown.x.map(Math.log10) : shown.x;
  const y = logY ? shown.y.map(logarithm) : shown.y;
  const meanX = logX ? shownMeans.x.map(Math.log10) : shownMeans.x;
  const meanY = logY ? shownMeans.y.map(logarithm) : shownMeans.y;
  const gapX = logX ? shownGaps.x.map(Math.log10) : shownGaps.x;
  const kept = sound({ x: meanX, y: meanY });
  const below = logY ? shown.y.findIndex(value => value <= 0) : -1;
  const all = below < 0 ? { x: gapX, y: shownGaps.y } : withBelow(gapX, shownGaps.y, x, shown.y);
  return new DrawnLine(info, { x, y }, kept, all, shown);
}

function same(points: Points): Points {
  return points;
}

function from(x: Numbers, y: Numbers, first: number): Points {
  return { x: x.subarray(first), y: y.subarray(first) };
}

function logarithm(value: number): number {
  return value > 0 ? Math.log10(value) : NaN;
}

function sound({ x, y }: Points): Points {
  return { x: x.filter((_, nth) => Number.isFinite(y[nth])), y: y.filter(Number.isFinite) };
}

/** Gaps, with those places that a logarithmic axis cannot show. */
function withBelow(gapX: Numbers, kinds: Numbers, x: Numbers, y: Numbers): Points {
  const all: [number, number][] = Array.from(gapX, (at, nth) => [at, kinds[nth]!]);
  y.forEach((value, nth) => value <= 0 && all.push([x[nth]!, 2]));
  all.sort((one, other) => one[0] - other[0]);
  return {
    x: Float64Array.from(all, one => one[0]),
    y: Float64Array.from(all, one => one[1])
  };
}

/** The moving average whose weights fall by `weight` each step, without a pull towards 0. */
function smoothed(means: Points, weight: number, gaps: Numbers): Points {
  const count = means.x.length;
  const wide = (1.5 * (means.x[count - 1]! - means.x[0]!)) / count;
  // At most one break between two means.
  const [x, y] = [new Float64Array(2 * count), new Float64Array(2 * count)];
  let [total, missing, at, gap] = [0, 1, 0, 0];
  for (let nth = 0; nth < count; nth++) {
    const place = means.x[nth]!;
    const before = at > 0 ? x[at - 1]! : place;
    while (gap < gaps.length && gaps[gap]! < before) {
      gap++;
    }
    if (gap < gaps.length && gaps[gap]! < place && place - before > wide) {
      x[at] = (before + place) / 2;
      y[at++] = NaN;
    }
    total = weight * total + (1 - weight) * means.y[nth]!;
    missing *= weight;
    x[at] = place;
    y[at++] = total / (1 - missing);
  }
  return { x: x.subarray(0, at), y: y.subarray(0, at) };
}
