import { firstFrom, type Range } from '../view/chart_model';
import type { DrawnLine, Numbers, Points } from './lines';

/** The part of a canvas that lines are drawn in, in its own pixels, and what of the axes it shows. */
export interface Field {
  readonly ctx: CanvasRenderingContext2D;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly x: Range;
  readonly y: Range;
  /** How many of its pixels are one of the page. */
  readonly ratio: number;
}

/** Lines, and the part of the axis that they are drawn in. */
export interface Stretch {
  readonly lines: readonly DrawnLine[];
  readonly from: number;
  readonly to: number;
}

const DASHES: Readonly<Record<string, readonly number[]>> = {
  dashed: [6, 3],
  dotted: [2, 3],
  dash_dotted: [6, 3, 2, 3]
};
const WIDE = 1.6;
const THIN = 1;
const FAINT = 0.3;
/** Such a line goes so many times as far up and down as the plot is wide. */
const NOISE = 12;
const DOT = 2.4;
const DOTS_UP_TO = 30;
const SIGN = 4;
/** What is farther away than this is drawn no more exactly: canvases lose their way with more. */
const FAR = 10_000;

/** Draw lines, faint below their smooth ones, dots for lone points, and signs for gaps. */
export function drawStretch(field: Field, stretch: Stretch, smoothing: number): void {
  const { ctx, top, height } = field;
  const [left, right] = [pixelX(field, stretch.from), pixelX(field, stretch.to)];
  ctx.save();
  ctx.beginPath();
  // A dot at either end is seen as a whole.
  const [more, end] = [
    stretch.from === field.x[0] ? DOT * field.ratio : 0,
    stretch.to === field.x[1] ? DOT * field.ratio : 0
  ];
  ctx.rect(left - more, top - DOT, right - left + more + end, height + 2 * DOT);
  ctx.clip();
  ctx.lineJoin = 'round';
  for (const line of stretch.lines) {
    ctx.strokeStyle = ctx.fillStyle = line.info.colour;
    const smooth = line.smoothed(smoothing);
    const isSmooth = smooth !== line.points;
    ctx.globalAlpha = isSmooth ? FAINT : 1;
    drawPoints(field, line.points, line.info.dash, stretch, !isSmooth);
    ctx.globalAlpha = 1;
    if (isSmooth) {
      drawPoints(field, smooth, line.info.dash, stretch, false);
    }
    drawGaps(field, line.gaps, stretch);
  }
  ctx.restore();
}

function pixelX({ left, width, x }: Field, place: number): number {
  return left + ((place - x[0]) / (x[1] - x[0])) * width;
}

function drawPoints(
  field: Field,
  points: Points,
  dash: string,
  { from, to }: Stretch,
  dots: boolean
): void {
  const { ctx, ratio } = field;
  const first = Math.max(0, firstFrom(points.x, from) - 1);
  const last = Math.min(points.x.length - 1, firstFrom(points.x, to));
  ctx.beginPath();
  const isNoise = isNoisy(field, points.y, first, last);
  ctx.lineWidth = (isNoise ? THIN : WIDE) * ratio;
  // Where a line goes up and down all the time, dashes would be more noise.
  ctx.setLineDash(isNoise ? [] : (DASHES[dash] ?? []).map(length => length * ratio));
  if (isNoise && last - first > field.width) {
    ctx.lineWidth = 1;
    bars(field, points, first, last);
  } else {
    trace(field, points, first, last);
  }
  ctx.stroke();
  drawDots(field, points, first, last, dots && last - first < DOTS_UP_TO);
}

/** Whether a line goes many times as far up and down as the plot is wide. */
function isNoisy({ height, width, y: range }: Field, y: Numbers, first: number, last: number): boolean {
  let travelled = 0;
  for (let at = first + 1; at <= last; at++) {
    const step = y[at]! - y[at - 1]!;
    // What is no number is neither.
    travelled += step > 0 ? step : step < 0 ? -step : 0;
  }
  return (travelled / (range[1] - range[0])) * height > NOISE * width;
}

/** Lay a path down each column of pixels that a line goes through: where there are two points and
 * more in each, it looks the same as the line, and costs a fifth. */
function bars(field: Field, { x, y }: Points, first: number, last: number): void {
  const { ctx, left, top } = field;
  const scaleX = field.width / (field.x[1] - field.x[0]);
  const scaleY = field.height / (field.y[1] - field.y[0]);
  let [column, low, high, before] = [NaN, NaN, NaN, NaN];
  for (let at = first; at <= last; at++) {
    const across = Math.floor(left + (x[at]! - field.x[0]) * scaleX);
    const down = near(top + (field.y[1] - y[at]!) * scaleY);
    if (across !== column) {
      bar(ctx, column, low, high);
      // From where the line came.
      [column, low, high] = [across, before, before];
    }
    // What is no number is neither lower nor higher.
    low = down > low ? low : down === down ? down : low;
    high = down < high ? high : down === down ? down : high;
    before = down;
  }
  bar(ctx, column, low, high);
}

function bar(ctx: CanvasRenderingContext2D, column: number, low: number, high: number): void {
  if (low === low) {
    ctx.moveTo(column + 0.5, low);
    // A canvas draws nothing of no length.
    ctx.lineTo(column + 0.5, Math.max(high, low + 0.5));
  }
}

function near(pixel: number): number {
  return pixel < -FAR ? -FAR : pixel > 2 * FAR ? 2 * FAR : pixel;
}

/** Lay a path along points, broken where there is none. */
function trace(field: Field, { x, y }: Points, first: number, last: number): void {
  const { ctx, left, top, width } = field;
  const scaleX = width / (field.x[1] - field.x[0]);
  const scaleY = field.height / (field.y[1] - field.y[0]);
  const [low, high] = [field.x[0], field.y[1]];
  const [least, most] = [left - FAR, left + width + FAR];
  let down = false;
  for (let at = first; at <= last; at++) {
    const value = y[at]!;
    if (value !== value) {
      down = false;
      continue;
    }
    let across = left + (x[at]! - low) * scaleX;
    let height = top + (high - value) * scaleY;
    if (across < least || across > most) {
      // On the way to its neighbour, so that the slope on screen stays right.
      const other = across < least ? at + 1 : at - 1;
      const edge = across < least ? least : most;
      const beside = left + (x[other]! - low) * scaleX;
      if (y[other]! === y[other]! && beside !== across) {
        height += ((edge - across) / (beside - across)) * (value - y[other]!) * scaleY;
      }
      across = edge;
    }
    height = near(height);
    if (down) {
      ctx.lineTo(across, height);
    } else {
      ctx.moveTo(across, height);
      down = true;
    }
  }
}

/** A dot for each point that no line leads to; for all if they are few. */
function drawDots(field: Field, points: Points, first: number, last: number, all: boolean): void {
  const { ctx, ratio, left, top, width, height } = field;
  const { x, y } = points;
  const isThere = (at: number): boolean => at >= 0 && at < y.length && y[at]! === y[at]!;
  const [scaleX, scaleY] = [width / (field.x[1] - field.x[0]), height / (field.y[1] - field.y[0])];
  ctx.beginPath();
  for (let at = first; at <= last; at++) {
    if (isThere(at) && (all || (!isThere(at - 1) && !isThere(at + 1)))) {
      const across = left + (x[at]! - field.x[0]) * scaleX;
      const down = top + (field.y[1] - y[at]!) * scaleY;
      if (Math.abs(across) < FAR && Math.abs(down) < FAR) {
        ctx.moveTo(across, down);
        ctx.arc(across, down, DOT * ratio, 0, 7);
      }
    }
  }
  ctx.fill();
}

/** A triangle for each gap: at the top what is above all, at the bottom the rest. */
function drawGaps(field: Field, gaps: Points, { from, to }: Stretch): void {
  const { ctx, ratio, top, height } = field;
  const last = firstFrom(gaps.x, to);
  const size = SIGN * ratio;
  ctx.beginPath();
  for (let at = Math.max(0, firstFrom(gaps.x, from)); at <= last && at < gaps.x.length; at++) {
    const kind = gaps.y[at]!;
    const across = pixelX(field, gaps.x[at]!);
    // Those that stand for something below point there.
    const up = kind === 0 || kind === 1 ? 1 : -1;
    const base = kind === 1 ? top + 2 * size : top + height - (up > 0 ? 0 : 2 * size);
    ctx.moveTo(across - size, base);
    ctx.lineTo(across + size, base);
    ctx.lineTo(across, base - up * 2 * size);
    ctx.closePath();
  }
  ctx.fill();
}
