import { isRange, type ChartModel, type Curve, type Gap, type Margin, type Range } from './chart_model';
import { ticksAlong, ticksUp, type Tick, type Unit } from './chart_ticks';

/** The parts of a widget's model in the browser that the tools use; see ipywidgets' WidgetModel. */
export interface Widget {
  get(name: string): unknown;
  set(values: Record<string, unknown>, options?: { silent: boolean }): unknown;
  save_changes(): void;
  on(names: string, callback: () => void, context?: unknown): void;
  off(names: null, callback: null, context: unknown): void;
  trigger(name: string): void;
  readonly views?: Record<string, Promise<{ readonly el: HTMLElement }>>;
}

const SAVE_EVERY = 250;
const REWRITE_AFTER = 80;
/** What the heights of gaps mean, in millionths, as the kernel sends them; 1 is infinity. */
const GAPS = ['NaN', '−∞', '≤ 0'];
/** As much of the height stays free above and below, as in the kernel. */
const SPACE = 0.05;

/** A chart's models in the browser: what it shows, and what of it. One for all of its views. */
export class Figure implements ChartModel {
  readonly watchers = new Set<() => void>();

  private readonly across: Widget;
  private readonly up: Widget;
  private readonly x: Widget;
  private readonly y: Widget;
  private home: { x: Range; y: Range };
  private chosen = { x: false, y: false };
  /** What a reader chose last. */
  private wanted: { x?: Range; y?: Range } = {};
  private setting = false;
  private saving = 0;
  private savedAt = 0;
  private rewriting = 0;
  private told = false;
  private size = { width: 0, height: 0 };
  private ticked = '';

  constructor(private readonly model: Widget) {
    const axes = model.get('axes') as Widget[];
    [this.across, this.up] = [axes[0]!, axes[1]!];
    this.x = this.across.get('scale') as Widget;
    this.y = this.up.get('scale') as Widget;
    this.home = { x: rangeOf(this.x), y: rangeOf(this.y) };
    this.x.on('change:min change:max', () => this.rangeChanged('x'), this);
    this.y.on('change:min change:max', () => this.rangeChanged('y'), this);
    model.on('change:marks', () => this.listen(), this);
    model.on('change:fig_margin change:_dom_classes', () => this.changed(), this);
    this.listen();
  }

  get zoomed(): boolean {
    return this.chosen.x || this.chosen.y;
  }

  /** Whether a reader chose what is seen of the height. */
  get isHigh(): boolean {
    return this.chosen.y;
  }

  get margin(): Margin {
    return this.model.get('fig_margin') as Margin;
  }

  get unit(): Unit {
    const classes = this.classes();
    return classes.includes('aml-x-clock')
      ? 'clock'
      : classes.includes('aml-x-time')
        ? 'time'
        : 'number';
  }

  get log(): { x: boolean; y: boolean } {
    const classes = this.classes();
    return { x: classes.includes('aml-log-x'), y: classes.includes('aml-log-y') };
  }

  get range(): { x: Range; y: Range } {
    return { x: rangeOf(this.x), y: rangeOf(this.y) };
  }

  /** The lines, without those that only stand faintly behind a smoothed one. */
  get curves(): Curve[] {
    const curves: Curve[] = [];
    let behind: Curve['logged'] = null;
    for (const mark of this.marks('LinesModel')) {
      const [x, y] = [numbersOf(mark, 'x'), numbersOf(mark, 'y')];
      if ((mark.get('opacities') as number[])[0] !== 1) {
        behind = { x, y };
        continue;
      }
      const [label = '', last = ''] = mark.get('labels') as string[];
      const colour = (mark.get('colors') as string[])[0] ?? '';
      const dash = String(mark.get('line_style'));
      curves.push({ label, last, colour, dash, x, y, logged: behind });
      behind = null;
    }
    return curves;
  }

  get gaps(): Gap[] {
    // The others are points that stand alone.
    const marks = this.marks('ScatterModel').filter(mark => mark.get('marker') === 'triangle-up');
    return marks.map(mark => ({
      x: numbersOf(mark, 'x'),
      kinds: Array.from(numbersOf(mark, 'y'), height => GAPS[Math.round(height * 1e6)] ?? '∞'),
      colour: (mark.get('colors') as string[])[0] ?? ''
    }));
  }

  /** Draw ticks for a plot of this size. */
  resize(width: number, height: number): void {
    if (width !== this.size.width || height !== this.size.height) {
      this.size = { width, height };
      this.drawTicks();
    }
  }

  /** Show this part, and tell the kernel, which sends the detail in it. */
  show(part: { x?: Range; y?: Range }): void {
    if (part.x && isRange(part.x)) {
      this.chosen.x = true;
      this.wanted.x = part.x;
      this.set(this.x, part.x);
      if (!this.chosen.y && !part.y) {
        this.set(this.y, this.fitting(part.x));
      }
    }
    if (part.y && isRange(part.y)) {
      this.chosen.y = true;
      this.wanted.y = part.y;
      this.set(this.y, part.y);
    }
    this.changed();
    this.save();
  }

  /** Show everything again. */
  showAll(): void {
    if (!this.zoomed) {
      return;
    }
    clearTimeout(this.saving);
    this.saving = 0;
    this.chosen = { x: false, y: false };
    // To the kernel: no range of ours, do as you like. Here the one of before, until it answers.
    for (const scale of [this.x, this.y]) {
      scale.set({ min: null, max: null }, { silent: true });
      scale.save_changes();
    }
    this.set(this.x, this.home.x);
    this.set(this.y, this.home.y);
    this.changed();
  }

  /** Whether this range holds all there is to see. */
  holdsAll(x: Range): boolean {
    return x[0] <= this.home.x[0] && x[1] >= this.home.x[1];
  }

  private classes(): readonly string[] {
    return this.model.get('_dom_classes') as string[];
  }

  private marks(kind: string): Widget[] {
    return (this.model.get('marks') as Widget[]).filter(mark => mark.get('_model_name') === kind);
  }

  private listen(): void {
    for (const mark of this.model.get('marks') as Widget[]) {
      mark.off(null, null, this);
      mark.on('change:x change:y change:labels change:colors', () => this.changed(), this);
    }
    this.changed();
  }

  /** A range changed; whenever it was not by us, the kernel shows everything as it is by now. */
  private rangeChanged(side: 'x' | 'y'): void {
    if (this.setting) {
      return;
    }
    const wanted = this.wanted[side];
    if (this.chosen[side] && this.saving !== 0 && wanted) {
      // The kernel repeats what it was told before; what is wanted by now is still to be told.
      this.set(this[side], wanted);
      return;
    }
    // While a part is shown the kernel may still fit its height.
    if (side === 'x' || this.chosen.y || !this.chosen.x) {
      this.chosen[side] = false;
      this.home[side] = rangeOf(this[side]);
    }
    this.changed();
  }

  /** Tell the watchers, once for all that changes together. */
  private changed(): void {
    this.drawTicks();
    if (!this.told) {
      this.told = true;
      queueMicrotask(() => {
        this.told = false;
        this.watchers.forEach(watcher => watcher());
      });
    }
  }

  private drawTicks(): void {
    const { width, height } = this.size;
    const { x, y } = this.range;
    const state = [width, height, ...x, ...y, this.classes().join()].join();
    if (width <= 0 || state === this.ticked) {
      return;
    }
    this.ticked = state;
    setTicks(this.across, ticksAlong(...x, width, this.unit, this.log.x));
    setTicks(this.up, ticksUp(...y, height, this.log.y));
    // bqplot's transitions of before still write labels of before, a frame later.
    clearTimeout(this.rewriting);
    this.rewriting = window.setTimeout(() => {
      this.across.trigger('change:tick_labels');
      this.up.trigger('change:tick_labels');
    }, REWRITE_AFTER);
  }

  private set(scale: Widget, [min, max]: Range): void {
    this.setting = true;
    scale.set({ min, max });
    this.setting = false;
  }

  /** Tell the kernel what part is seen: at once, then again now and then while it changes. */
  private save(): void {
    const pause = Math.max(0, this.savedAt + SAVE_EVERY - performance.now());
    this.saving ||= window.setTimeout(() => {
      this.saving = 0;
      this.savedAt = performance.now();
      if (this.chosen.x) {
        this.x.save_changes();
      }
      if (this.chosen.y) {
        this.y.save_changes();
      }
    }, pause);
  }

  /** The heights of what can be seen between two places. */
  private fitting([from, to]: Range): Range {
    let [low, high] = [Infinity, -Infinity];
    for (const { x, y, logged } of this.curves) {
      const [places, values] = logged ? [logged.x, logged.y] : [x, y];
      for (let at = 0; at < places.length; at++) {
        const value = values[at]!;
        if (places[at]! >= from && places[at]! <= to && Number.isFinite(value)) {
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
      }
    }
    const room = (high - low) * SPACE;
    return high > low ? [low - room, high + room] : this.range.y;
  }
}

function setTicks(axis: Widget, ticks: readonly Tick[]): void {
  if (!ticks.length) {
    // bqplot cannot write any number without knowing two.
    return;
  }
  axis.set({
    tick_labels: Object.fromEntries(ticks.map(tick => [String(tick.at), tick.label])),
    tick_values: ticks.map(tick => tick.at)
  });
}

function rangeOf(scale: Widget): Range {
  return [Number(scale.get('min') ?? 0), Number(scale.get('max') ?? 1)];
}

function numbersOf(mark: Widget, name: string): ArrayLike<number> {
  return (mark.get(name) as ArrayLike<number> | null) ?? [];
}
