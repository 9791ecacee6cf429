import { element } from '../dom';
import type { Hover, Plot } from './chart_hover';
import { part, type ChartModel, type Range } from './chart_model';

/** What pointers and keys want of a chart that is not a matter of ranges. */
export interface Surroundings {
  plot(): Plot;
  /** Whether this is a button, or another part that has clicks of its own. */
  isControl(target: EventTarget | null): boolean;
  zoomed(): void;
  full(): void;
  leave(): boolean;
}

interface Place {
  x: number;
  y: number;
}

interface Ranges {
  x: Range;
  y: Range;
}

interface Drag {
  kind: 'across' | 'up' | 'box' | 'move' | 'look';
  pointer: number;
  from: Place;
  to: Place;
  range: Ranges;
  moved: boolean;
}

/** Two fingers, and what of the x axis was below each. */
interface Pinch {
  held: readonly [number, number];
  fingers: Map<number, Place>;
}

const STEP = 1.5;
const MOVE = 0.2;
/** So many pixels are a drag and no click. */
const LEAST = 4;

/** All that pointers and keys do to a chart: look at values, closer, beside, and at everything. */
export class Gestures {
  readonly band = element('div', { class: 'aml-chart-band', hidden: '' });
  private drag: Drag | null = null;
  private pinch: Pinch | null = null;
  private readonly touches = new Map<number, Place>();
  private pointer: Place | null = null;
  private turned = 0;
  private slid = 0;
  private awaited = 0;

  constructor(
    private readonly el: HTMLElement,
    private readonly chart: ChartModel,
    private readonly hover: Hover,
    private readonly around: Surroundings,
    signal: AbortSignal
  ) {
    this.listen(signal);
    signal.addEventListener('abort', () => cancelAnimationFrame(this.awaited));
  }

  /** Draw with the next frame, however many events come until then. */
  later(): void {
    this.awaited ||= requestAnimationFrame(() => {
      this.awaited = 0;
      this.draw();
    });
  }

  /** Whether a pointer is over the chart. */
  get isPointed(): boolean {
    return this.pointer !== null;
  }

  private listen(signal: AbortSignal): void {
    const on = <Name extends keyof HTMLElementEventMap>(
      name: Name,
      handler: (event: HTMLElementEventMap[Name]) => void
    ): void => this.el.addEventListener(name, handler, { signal, passive: false });
    on('pointerdown', event => this.onDown(event));
    on('pointermove', event => this.onMove(event));
    on('pointerup', event => this.onUp(event));
    on('pointercancel', event => this.drop(event));
    on('pointerleave', event => this.onLeave(event));
    on('mousedown', event => {
      // Else the middle button starts scrolling.
      if (event.button === 1) {
        event.preventDefault();
      }
    });
    on('wheel', event => this.onWheel(event));
    on('dblclick', event => {
      if (!this.around.isControl(event.target)) {
        this.showAll();
      }
    });
    on('keydown', event => this.onKey(event));
  }

  private at(event: MouseEvent): Place {
    const box = this.el.getBoundingClientRect();
    const { left, top } = this.around.plot();
    return { x: event.clientX - box.left - left, y: event.clientY - box.top - top };
  }

  private onDown(event: PointerEvent): void {
    if (this.around.isControl(event.target) || event.button > 1) {
      return;
    }
    const from = this.at(event);
    if (event.pointerType === 'touch') {
      this.touches.set(event.pointerId, from);
      if (this.touches.size === 2) {
        this.startPinch();
        return;
      }
    }
    const { range } = this.chart;
    const kind = this.kindOf(event, from);
    this.drag = { kind, pointer: event.pointerId, from, to: from, range, moved: false };
    if (kind === 'look') {
      this.pointer = from;
      this.later();
    }
  }

  private kindOf(event: PointerEvent, from: Place): Drag['kind'] {
    if (event.pointerType === 'touch') {
      return 'look';
    }
    if (event.button === 1 || event.shiftKey || from.y > this.around.plot().height) {
      return 'move';
    }
    return from.x < 0 ? 'up' : event.altKey ? 'box' : 'across';
  }

  private onMove(event: PointerEvent): void {
    this.pointer = this.at(event);
    if (this.pinch?.fingers.has(event.pointerId)) {
      this.pinch.fingers.set(event.pointerId, this.pointer);
    }
    const drag = this.drag;
    if (drag && event.pointerId === drag.pointer) {
      drag.to = this.pointer;
      if (!drag.moved && Math.hypot(drag.to.x - drag.from.x, drag.to.y - drag.from.y) > LEAST) {
        drag.moved = true;
        this.el.setPointerCapture(drag.pointer);
      }
    }
    this.later();
  }

  private onUp(event: PointerEvent): void {
    const drag = this.drag;
    this.drop(event);
    if (drag?.moved && event.pointerId === drag.pointer) {
      this.select(drag);
    }
  }

  private onLeave(event: PointerEvent): void {
    // A finger leaves whenever it is lifted; what it pointed at stays to be read.
    if (!this.drag && event.pointerType !== 'touch') {
      this.pointer = null;
      this.later();
    }
  }

  private drop(event?: PointerEvent): void {
    if (event) {
      this.touches.delete(event.pointerId);
    }
    this.drag = null;
    this.pinch = null;
    this.band.hidden = true;
    this.later();
  }

  private startPinch(): void {
    this.drag = null;
    const fingers = new Map(this.touches);
    const places = [...fingers.values()].map(({ x }) => this.placeAt(x));
    this.pinch = { held: [places[0]!, places[1]!], fingers };
  }

  private placeAt(x: number): number {
    const [low, high] = this.chart.range.x;
    return low + (x / this.around.plot().width) * (high - low);
  }

  private onWheel(event: WheelEvent): void {
    const size = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    if (event.ctrlKey || event.metaKey) {
      this.turned += event.deltaY * size;
    } else if (this.chart.zoomed && Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.slid += event.deltaX * size;
    } else {
      // A wheel alone scrolls the page.
      return;
    }
    event.preventDefault();
    this.pointer = this.at(event);
    this.later();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.target !== this.el || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (event.key === 'Escape' ? this.escape() : this.press(event.key)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  private press(key: string): boolean {
    const keys: Readonly<Record<string, () => void>> = {
      '+': () => this.zoom(1 / STEP, 0.5),
      '=': () => this.zoom(1 / STEP, 0.5),
      '-': () => this.zoom(STEP, 0.5),
      ArrowLeft: () => this.move(this.chart.range, MOVE, 0),
      ArrowRight: () => this.move(this.chart.range, -MOVE, 0),
      '0': () => this.showAll(),
      Home: () => this.showAll(),
      f: () => this.around.full(),
      // Without a height of its own there is nothing above or below, and the page scrolls.
      ...(this.chart.isHigh && {
        ArrowUp: () => this.move(this.chart.range, 0, MOVE),
        ArrowDown: () => this.move(this.chart.range, 0, -MOVE)
      })
    };
    const does = new Map(Object.entries(keys)).get(key);
    does?.();
    return does !== undefined;
  }

  private escape(): boolean {
    if (this.drag) {
      this.drop();
    } else if (!this.around.leave()) {
      if (!this.chart.zoomed) {
        return false;
      }
      this.showAll();
    }
    return true;
  }

  private draw(): void {
    const plot = this.around.plot();
    this.turn(plot);
    const { drag, pinch, pointer } = this;
    if (pinch) {
      this.hover.hide();
      this.stretch(pinch, plot);
    } else if (drag?.moved && drag.kind !== 'look') {
      this.hover.hide();
      this.pull(drag, plot);
    } else if (pointer && inside(pointer, plot)) {
      this.hover.show(plot, pointer.x, pointer.y);
    } else {
      this.hover.hide();
    }
    const place = this.hover.element.hidden || !pointer ? null : this.placeAt(pointer.x);
    this.chart.point?.(place);
  }

  /** Do what wheels have been turned for since the last frame. */
  private turn(plot: Plot): void {
    const { turned, slid, pointer } = this;
    [this.turned, this.slid] = [0, 0];
    if (turned !== 0 && pointer) {
      const up = pointer.x < 0 ? pointer.y / plot.height : null;
      this.zoom(Math.exp(turned * 0.002), pointer.x / plot.width, up);
    }
    if (slid !== 0) {
      this.move(this.chart.range, -slid / plot.width, 0);
    }
  }

  private pull(drag: Drag, plot: Plot): void {
    if (drag.kind === 'move') {
      const [x, y] = [drag.to.x - drag.from.x, drag.to.y - drag.from.y];
      this.move(drag.range, x / plot.width, y / plot.height);
      return;
    }
    const [x, y] = [across(drag, plot), down(drag, plot)];
    const { style } = this.band;
    this.band.hidden = false;
    style.left = `${plot.left + x[0] * plot.width}px`;
    style.width = `${(x[1] - x[0]) * plot.width}px`;
    style.top = `${plot.top + y[0] * plot.height}px`;
    style.height = `${(y[1] - y[0]) * plot.height}px`;
  }

  private select(drag: Drag): void {
    const plot = this.around.plot();
    const [x, y] = [across(drag, plot), down(drag, plot)];
    const large = (x[1] - x[0]) * plot.width > LEAST && (y[1] - y[0]) * plot.height > LEAST;
    if (!large || drag.kind === 'move' || drag.kind === 'look') {
      return;
    }
    this.show({
      ...(drag.kind !== 'up' && { x: part(drag.range.x, ...x) }),
      ...(drag.kind !== 'across' && { y: part(drag.range.y, 1 - y[1], 1 - y[0]) })
    });
  }

  /** Keep below two fingers what was below them. */
  private stretch({ held, fingers }: Pinch, plot: Plot): void {
    const [one, other] = [...fingers.values()];
    if (!one || !other || Math.abs(other.x - one.x) < 2 * LEAST) {
      return;
    }
    const perPixel = (held[1] - held[0]) / (other.x - one.x);
    if (perPixel > 0) {
      const low = held[0] - one.x * perPixel;
      this.show({ x: [low, low + plot.width * perPixel] });
    }
  }

  /** Make the visible part so many times as wide, around a place; beside the axis as high. */
  private zoom(factor: number, x: number, y: number | null = null): void {
    const { range } = this.chart;
    if (y !== null) {
      this.show({ y: part(range.y, (1 - y) * (1 - factor), (1 - y) * (1 - factor) + factor) });
      return;
    }
    const wider = part(range.x, x * (1 - factor), x * (1 - factor) + factor);
    if (factor > 1 && this.chart.holdsAll(wider)) {
      this.showAll();
    } else {
      this.show({ x: wider });
    }
  }

  /** Move the lines by such parts of the plot, to the right and down. */
  private move(range: Ranges, right: number, lower: number): void {
    this.show({
      ...(right !== 0 && { x: part(range.x, -right, 1 - right) }),
      ...(this.chart.isHigh && { y: part(range.y, lower, 1 + lower) })
    });
  }

  private show(shown: { x?: Range; y?: Range }): void {
    this.chart.show(shown);
    this.around.zoomed();
  }

  private showAll(): void {
    this.chart.showAll();
    this.around.zoomed();
  }
}

function inside({ x, y }: Place, plot: Plot): boolean {
  return x >= 0 && x <= plot.width && y >= 0 && y <= plot.height;
}

/** What of the width a drag chooses, as parts of the plot; all of it where it goes up. */
function across({ kind, from, to }: Drag, plot: Plot): Range {
  return kind === 'up' ? [0, 1] : ends(from.x / plot.width, to.x / plot.width);
}

function down({ kind, from, to }: Drag, plot: Plot): Range {
  return kind === 'across' ? [0, 1] : ends(from.y / plot.height, to.y / plot.height);
}

function ends(from: number, to: number): Range {
  const [a, b] = [from, to].map(at => Math.min(Math.max(at, 0), 1));
  return [Math.min(a!, b!), Math.max(a!, b!)];
}
