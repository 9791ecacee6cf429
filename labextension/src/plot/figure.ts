import uPlot from 'uplot';

import type { PlotAsked } from '../protocol';
import {
  around,
  firstFrom,
  isRange,
  type ChartModel,
  type Curve,
  type Gap,
  type Margin,
  type Range
} from '../view/chart_model';
import { shownValue, ticksAlong, ticksUp, type Tick, type Unit } from '../view/chart_ticks';
import { drawStretch, type Stretch } from './drawing';
import { AXIS, drawFrame, frameOf, roomFor, type Framed } from './frame';
import { fromAxis, GAPS, type DrawnLine, type Look, type Plotted } from './lines';
import type { Theme } from './theme';

/** Whoever shows charts side by side. */
export interface Host {
  readonly theme: Theme;
  readonly smoothing: number;
  /** A chart is to be drawn; now if a reader moves it. */
  wants(figure: PlotFigure, now: boolean): void;
  /** Its plot has another size. */
  resized(): void;
  /** A reader chose another part of it. */
  moved(figure: PlotFigure): void;
  /** A reader points at a place of it. */
  pointed(figure: PlotFigure, place: number | null): void;
}

const TOP = 30;
const RIGHT = 14;
const ROW = 17;
const LETTER = 6.2;
const SPACE = 0.05;
const NOTHING: Range = [0, 1];

/** A chart: its lines, what of them is seen, and the canvas that uPlot draws them on. */
export class PlotFigure implements ChartModel, Framed {
  readonly watchers = new Set<() => void>();
  private plot: uPlot | null = null;
  /** All of it as seen from afar. */
  private whole: Plotted | null = null;
  /** The part that was looked at, with more detail. */
  private detail: Plotted | null = null;
  private chosen: { x?: Range; y?: Range } = {};
  private readonly hidden = new Set<string>();
  private size = { width: 0, height: 0 };
  private seen: { x: Range; y: Range } | null = null;
  private made: { curves: Curve[]; gaps: Gap[] } | null = null;
  ticks: { x: readonly Tick[]; y: readonly Tick[] } = { x: [], y: [] };
  private laidOut = '';
  private left = 40;
  private home: Range = NOTHING;

  constructor(
    readonly key: string,
    private readonly host: Host
  ) {}

  // What its pane asks

  get zoomed(): boolean {
    return this.chosen.x !== undefined || this.isHigh;
  }

  get isHigh(): boolean {
    return this.chosen.y !== undefined;
  }

  get theme(): Theme {
    return this.host.theme;
  }

  get margin(): Margin {
    return { top: TOP, right: RIGHT, bottom: AXIS + this.legendRows() * ROW, left: this.left };
  }

  get unit(): Unit {
    const axis = this.look?.axis ?? 'step';
    return axis === 'step' ? 'number' : axis;
  }

  get log(): { x: boolean; y: boolean } {
    return { x: this.look?.logX ?? false, y: this.look?.logY ?? false };
  }

  get range(): { x: Range; y: Range } {
    this.seen ??= this.rangesSeen();
    return this.seen;
  }

  get curves(): readonly Curve[] {
    return this.drawn().curves;
  }

  get gaps(): readonly Gap[] {
    return this.drawn().gaps;
  }

  /** What of the x axis a reader chose. */
  get chosenX(): Range | undefined {
    return this.chosen.x;
  }

  get look(): Look | undefined {
    return this.whole?.look ?? this.detail?.look;
  }

  /** The lines that are seen, of the data that tell most of what is seen. */
  get lines(): readonly DrawnLine[] {
    return (this.best()?.lines ?? []).filter(line => !this.isHidden(line));
  }

  get canvas(): HTMLCanvasElement | undefined {
    return this.plot?.ctx.canvas;
  }

  readonly choose = (isHidden: (curve: Curve) => boolean): void => {
    const hidden = this.curves.filter(isHidden).map(curve => curve.label);
    this.hidden.clear();
    hidden.forEach(label => this.hidden.add(label));
    this.changed();
  };

  readonly point = (place: number | null): void => this.host.pointed(this, place);

  resize(width: number, height: number): void {
    if (width !== this.size.width || height !== this.size.height) {
      this.size = { width, height };
      this.host.wants(this, true);
      this.host.resized();
    }
  }

  show(part: { x?: Range; y?: Range }): void {
    if (part.x && isRange(part.x)) {
      this.chosen.x = part.x;
    }
    if (part.y && isRange(part.y)) {
      this.chosen.y = part.y;
    }
    this.changed(true);
    this.host.moved(this);
  }

  showAll(): void {
    this.chosen = {};
    this.changed(true);
    this.host.moved(this);
  }

  holdsAll(x: Range): boolean {
    return x[0] <= this.home[0] && x[1] >= this.home[1];
  }

  // What the grid does with it

  /** Take lines that came. */
  take(plotted: Plotted): void {
    const { look } = this;
    if (look && (look.axis !== plotted.look.axis || look.logX !== plotted.look.logX)) {
      delete this.chosen.x;
      this.whole = this.detail = null;
    }
    if (plotted.isWhole) {
      this.whole = plotted;
    } else {
      this.detail = plotted;
    }
    this.changed();
  }

  /** Show what there is on other axes, until lines come that are made for these. */
  lookOtherwise(look: Look): void {
    const before = this.look;
    if (!before || before.axis !== look.axis) {
      return;
    }
    if (before.logX !== look.logX) {
      delete this.chosen.x;
    }
    if (before.logY !== look.logY) {
      delete this.chosen.y;
    }
    this.whole = this.whole?.seen(look) ?? null;
    this.detail = this.detail?.seen(look) ?? null;
    this.changed();
  }

  /** See the same part of the x axis as another chart. */
  follow(x: Range | undefined): void {
    if (x) {
      this.chosen.x = x;
    } else {
      delete this.chosen.x;
    }
    // As soon as there is time in a frame: first comes the one that the reader moves.
    this.changed();
  }

  /** See everything; tells nobody. */
  reset(): void {
    this.chosen = {};
    this.changed();
  }

  /** Whether the detail at hand is that of another part of the same width, with this one in it. */
  get hasDetail(): boolean {
    const { x } = this.chosen;
    if (!x || this.whole?.isExact || !this.detail) {
      return !x || this.whole?.isExact === true;
    }
    const [low, high] = this.detail.covers;
    // It covers twice what was asked for.
    const isSameWidth = Math.abs((high - low) / (2 * (x[1] - x[0])) - 1) < 1e-6;
    return isSameWidth && low <= x[0] && high >= x[1];
  }

  /** What to ask for, while it is on screen. */
  asked(): PlotAsked | null {
    if (this.size.width === 0) {
      return null;
    }
    // With the room for the axis, and in steps: a little more room is no reason to ask again.
    const columns = Math.ceil(((this.size.width + this.left) * uPlot.pxRatio) / 50) * 50;
    const { x } = this.chosen;
    const isLog = this.log.x;
    return x && !this.whole?.isExact
      ? { key: this.key, columns, low: fromAxis(x[0], isLog), high: fromAxis(x[1], isLog) }
      : { key: this.key, columns, low: null, high: null };
  }

  /** Make its canvas. */
  mount(node: HTMLElement): void {
    this.plot ??= frameOf(this, node);
    this.host.wants(this, false);
  }

  /** Give its canvas back, and keep the lines. */
  unmount(): void {
    this.plot?.destroy();
    this.plot = null;
  }

  /** Draw it as it is by now. */
  draw(): void {
    const { plot, size } = this;
    if (!plot || size.width <= 1 || !this.best()) {
      return;
    }
    this.layOut();
    drawFrame(plot, this, size.width, size.height);
  }

  private changed(now = false): void {
    this.seen = this.made = null;
    this.host.wants(this, now);
    this.layOut();
    this.watchers.forEach(watcher => watcher());
  }

  /** Find the ticks, and the room that their words need. */
  private layOut(): void {
    const { x, y } = this.range;
    const { width, height } = this.size;
    const state = [...x, ...y, width, height, this.unit, this.log.x, this.log.y].join();
    if (state === this.laidOut) {
      return;
    }
    this.laidOut = state;
    this.ticks = {
      x: ticksAlong(...x, width, this.unit, this.log.x),
      y: ticksUp(...y, height, this.log.y)
    };
    this.left = roomFor(this.ticks.y);
  }

  private legendRows(): number {
    const { curves } = this;
    if (curves.length < 2) {
      return 0;
    }
    // A swatch, the label as far as it is shown, and its last value.
    const wide = curves.reduce((sum, { label }) => sum + 80 + LETTER * Math.min(label.length, 30), 0);
    const rows = Math.ceil(wide / Math.max(this.size.width, 100));
    return Math.min(rows, this.size.height > 320 ? 6 : 2);
  }

  // What is seen

  private best(): Plotted | null {
    const { x } = this.chosen;
    const { detail, whole } = this;
    if (!x || !detail) {
      return whole ?? detail;
    }
    const covers = detail.covers[0] <= x[0] && detail.covers[1] >= x[1];
    return covers || !whole ? detail : whole;
  }

  private isHidden(line: DrawnLine): boolean {
    return this.hidden.has(line.info.label);
  }

  private rangesSeen(): { x: Range; y: Range } {
    const all = this.whole ?? this.detail;
    const isHidden = (line: DrawnLine): boolean => this.isHidden(line);
    this.home = all?.extent(isHidden) ?? NOTHING;
    const x = this.chosen.x ?? this.home;
    return { x, y: this.chosen.y ?? this.fitting(x) };
  }

  /** The heights of what can be seen between two places. */
  private fitting([from, to]: Range): Range {
    let [low, high] = [Infinity, -Infinity];
    for (const { points } of this.lines) {
      const { x, y } = points;
      for (let at = firstFrom(x, from); at < x.length && x[at]! <= to; at++) {
        const value = y[at]!;
        // What is no number is neither.
        low = value < low ? value : low;
        high = value > high ? value : high;
      }
    }
    return around(low, high, SPACE);
  }

  /** The parts of what is seen, each with the lines that tell most of it. */
  private stretches([from, to]: Range): Stretch[] {
    const { detail, whole } = this;
    const shown = (plotted: Plotted): readonly DrawnLine[] =>
      plotted.lines.filter(line => !this.isHidden(line));
    if (!this.chosen.x || !detail || !whole) {
      const best = this.best();
      return best ? [{ lines: shown(best), from, to }] : [];
    }
    const [start, end] = detail.covers.map(at => Math.min(Math.max(at, from), to)) as [number, number];
    return [
      { lines: shown(whole), from, to: start },
      { lines: shown(detail), from: start, to: end },
      { lines: shown(whole), from: end, to }
    ].filter(stretch => stretch.from < stretch.to);
  }

  private drawn(): { curves: Curve[]; gaps: Gap[] } {
    this.made ??= this.describe(this.best()?.lines ?? []);
    return this.made;
  }

  private describe(lines: readonly DrawnLine[]): { curves: Curve[]; gaps: Gap[] } {
    const { smoothing } = this.host;
    const curves = lines.map((line): Curve => {
      const points = line.smoothed(smoothing);
      const { label, colour, dash, last } = line.info;
      return {
        ...{ label, colour, dash, ...points },
        last: last === null ? '–' : shownValue(last),
        logged: points === line.points ? null : line.points,
        hidden: this.isHidden(line)
      };
    });
    const gaps = lines.filter(line => !this.isHidden(line) && line.gaps.x.length > 0);
    return {
      curves,
      gaps: gaps.map(({ gaps: { x, y }, info }) => ({
        x,
        kinds: Array.from(y, kind => GAPS.get(kind) ?? ''),
        colour: info.colour
      }))
    };
  }

  // How it is drawn

  paint({ ctx, bbox }: uPlot): void {
    const field = { ctx, ...bbox, ...this.range, ratio: uPlot.pxRatio };
    for (const stretch of this.stretches(field.x)) {
      drawStretch(field, stretch, this.host.smoothing);
    }
  }
}
