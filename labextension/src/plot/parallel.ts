import { element } from '../dom';
import { choice, fillChoice, searchField, setShown, setText, button } from '../view/controls';
import { trans } from '../view/words';
import { RunAxis, short, varies, type RunColumn, type RunListener, type RunTable } from './run_axis';
import { themeOf, watchTheme, type Theme } from './theme';

/** What a reader chose; plain JSON, to be kept. */
export interface ParallelChoice {
  /** The axes from left to right; empty for those that tell most. */
  axes: readonly string[];
  /** The column whose values colour the runs; empty for the runs' own colours. */
  colour: string;
  /** Which part of an axis is of interest, from 0 at its foot to 1. */
  parts: Readonly<Record<string, readonly [low: number, high: number]>>;
}

const FIRST_AXES = 8;
const TOP = 44;
const BOTTOM = 30;
/** Between the lowest place of an axis and where runs without a value pass. */
const MISSING = 16;
const SIDE = 56;
const GRIP = 12;
const NEAR = 10;
const LEAST = 0.01;
const STEP = 0.05;
const NOTHING: RunTable = { columns: [], labels: [], ids: [], colours: [] };

interface Brush {
  name: string;
  from: number;
  moved: boolean;
}

/** Runs as lines over many axes, of which parts can be chosen. */
export class ParallelPlot {
  readonly node: HTMLElement;
  private readonly colour = choice(trans.__('Colour'), [], colour => this.choose({ colour }));
  private readonly found = element('span', { class: 'aml-v-muted', role: 'status' });
  private readonly all = button(trans.__('All runs'), () => this.choose({ parts: {} }));
  private readonly search = searchField(trans.__('Find an axis'), () => this.listAxes());
  private readonly list = element('div', { class: 'aml-Parallel-list', role: 'group' });
  private readonly menu: HTMLDetailsElement;
  private readonly heads = element('div', { class: 'aml-Parallel-heads' });
  private readonly canvas = element('canvas', { role: 'img' });
  /** Above the other one, so that a line can be emphasised without drawing them all. */
  private readonly front = element('canvas', { 'aria-hidden': 'true' });
  private readonly tip = element('div', { class: 'aml-chart-tip', hidden: '' });
  private readonly area: HTMLElement;
  private readonly sizes = new ResizeObserver(() => this.draw());
  private theme: Theme | null = null;
  private table: RunTable = NOTHING;
  private chosen: ParallelChoice = { axes: [], colour: '', parts: {} };
  private axes: RunAxis[] = [];
  private colouring: RunAxis | null = null;
  private kept: boolean[] = [];
  private pointed = -1;
  private brush: Brush | null = null;
  private dragged: string | null = null;

  constructor(
    private readonly listener: RunListener,
    private readonly onChoice: (chosen: ParallelChoice) => void,
    signal: AbortSignal
  ) {
    const words = element('summary', { class: 'aml-v-button' }, trans.__('Axes'));
    const box = element('div', { class: 'aml-Parallel-menu' }, this.search, this.list);
    this.menu = element('details', { class: 'aml-Parallel-axes' }, words, box);
    const colour = element('span', { class: 'aml-v-field' }, trans.__('Colour'), this.colour);
    const parts = [this.menu, colour, this.found, this.all];
    const bar = element('div', { class: 'aml-v-panel aml-Plots-bar' }, ...parts);
    const drawn = [this.canvas, this.front, this.heads, this.tip];
    this.area = element('div', { class: 'aml-Parallel-area' }, ...drawn);
    this.node = element('div', { class: 'aml-Parallel' }, bar, this.area);
    this.listen(signal);
  }

  /** Show these runs, on the axes that were chosen if they are still there. */
  show(table: RunTable, chosen: ParallelChoice = this.chosen): void {
    this.table = table;
    this.chosen = chosen;
    const options = table.columns.map(({ name }) => [name, name] as const);
    fillChoice(this.colour, [['', trans.__('as in charts')], ...options]);
    this.refresh();
    this.listAxes();
  }

  /** Emphasise a run that is pointed at elsewhere. */
  highlight(id: string | null): void {
    this.point(id === null ? -1 : this.table.ids.indexOf(id), null);
  }

  // What is shown

  private choose(change: Partial<ParallelChoice>): void {
    this.chosen = { ...this.chosen, ...change };
    this.refresh();
    this.onChoice(this.chosen);
    if (change.parts) {
      const ids = this.table.ids.filter((_, run) => this.kept[run]);
      this.listener.chosen?.(ids.length === this.table.ids.length ? null : ids);
    }
  }

  private refresh(): void {
    const { columns } = this.table;
    const byName = new Map(columns.map(column => [column.name, column]));
    const there = this.chosen.axes.flatMap(name => byName.get(name) ?? []);
    this.axes = (there.length > 1 ? there : mostTelling(columns)).map(column => new RunAxis(column));
    const colouring = byName.get(this.chosen.colour);
    this.colouring = colouring ? new RunAxis(colouring) : null;
    this.colour.value = colouring?.name ?? '';
    this.sift();
    this.drawHeads();
    this.draw();
  }

  /** Find the runs that are in all chosen parts. */
  private sift(): void {
    const parts = this.axes.flatMap(axis => {
      const part = this.partOf(axis);
      return part ? [{ axis, part }] : [];
    });
    this.kept = this.table.ids.map((_, run) =>
      parts.every(({ axis, part }) => axis.part(run) >= part[0] && axis.part(run) <= part[1])
    );
    const [few, count] = [this.kept.filter(Boolean).length, this.kept.length];
    setText(this.found, trans.__('%1 of %2 runs', few, count));
    setShown(this.all, parts.length > 0);
    const names = this.axes.map(axis => axis.column.name).join(', ');
    this.canvas.setAttribute('aria-label', trans.__('%1 of %2 runs over %3', few, count, names));
  }

  private partOf(axis: RunAxis): readonly [number, number] | undefined {
    return new Map(Object.entries(this.chosen.parts)).get(axis.column.name);
  }

  private setPart(name: string, part: readonly [number, number] | null): void {
    const { [name]: _, ...others } = this.chosen.parts;
    this.choose({ parts: part ? { ...others, [name]: part } : others });
  }

  // Where it is shown

  private left(nth: number): number {
    const wide = this.area.clientWidth - 2 * SIDE;
    return SIDE + (this.axes.length < 2 ? 0 : (nth * wide) / (this.axes.length - 1));
  }

  private get height(): number {
    return Math.max(1, this.area.clientHeight - TOP - BOTTOM);
  }

  /** How far down a run passes an axis; below its foot without a value. */
  private down(axis: RunAxis, run: number): number {
    const part = axis.part(run);
    return Number.isNaN(part) ? TOP + this.height + MISSING : TOP + (1 - part) * this.height;
  }

  // Drawing

  private draw(): void {
    const ctx = this.prepared(this.canvas);
    if (!ctx) {
      return;
    }
    this.theme ??= themeOf(this.node);
    const order = this.kept.map((_, run) => run);
    // Those that are not of interest lie below the others.
    order.sort((one, other) => Number(this.kept[one]) - Number(this.kept[other]));
    const dense = Math.min(0.9, Math.max(0.3, 12 / Math.sqrt(order.length)));
    for (const run of order) {
      ctx.globalAlpha = this.kept[run] ? dense : 0.05;
      ctx.lineWidth = 1.3;
      ctx.strokeStyle = this.kept[run] ? this.colourOf(run) : this.theme.faint;
      this.line(ctx, run);
    }
    ctx.globalAlpha = 1;
    this.axes.forEach((axis, nth) => this.drawAxis(ctx, axis, nth));
    this.drawFront();
  }

  private prepared(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
    const { clientWidth, clientHeight } = this.area;
    const ratio = window.devicePixelRatio;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    const ctx = width > 0 ? canvas.getContext('2d') : null;
    if (ctx && (canvas.width !== width || canvas.height !== height)) {
      [canvas.width, canvas.height] = [width, height];
    }
    ctx?.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx?.clearRect(0, 0, clientWidth, clientHeight);
    return ctx;
  }

  private colourOf(run: number): string {
    return this.colouring?.colour(run) ?? this.table.colours[run] ?? '';
  }

  private line(ctx: CanvasRenderingContext2D, run: number): void {
    ctx.beginPath();
    this.axes.forEach((axis, nth) => ctx.lineTo(this.left(nth), this.down(axis, run)));
    ctx.stroke();
  }

  private drawAxis(ctx: CanvasRenderingContext2D, axis: RunAxis, nth: number): void {
    const { text, faint, background, accent, font } = this.theme!;
    const left = Math.round(this.left(nth)) + 0.5;
    ctx.strokeStyle = faint;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(left, TOP);
    ctx.lineTo(left, TOP + this.height);
    ctx.stroke();
    ctx.font = `11px ${font}`;
    ctx.textBaseline = 'middle';
    // Words lie on lines: they are outlined to stay legible.
    ctx.strokeStyle = background;
    ctx.lineWidth = 3;
    ctx.fillStyle = text;
    const [low, high] = axis.range;
    for (const { at, label } of axis.ticks(this.height, true)) {
      const down = TOP + (1 - (at - low) / (high - low)) * this.height;
      ctx.strokeText(label, left + 6, down);
      ctx.fillText(label, left + 6, down);
    }
    if (axis.places.some(Number.isNaN)) {
      ctx.strokeText('–', left + 6, TOP + this.height + MISSING);
      ctx.fillText('–', left + 6, TOP + this.height + MISSING);
    }
    const part = this.partOf(axis);
    if (part) {
      ctx.fillStyle = accent;
      ctx.globalAlpha = 0.35;
      ctx.fillRect(left - 6, TOP + (1 - part[1]) * this.height, 12, (part[1] - part[0]) * this.height);
      ctx.globalAlpha = 1;
    }
  }

  private drawFront(): void {
    const ctx = this.prepared(this.front);
    if (!ctx || this.pointed < 0) {
      return;
    }
    // An outline sets it off from the others that have its colour.
    for (const [width, colour] of [[5, this.theme!.background], [2.6, this.colourOf(this.pointed)]] as const) {
      ctx.lineWidth = width;
      ctx.strokeStyle = colour;
      this.line(ctx, this.pointed);
    }
  }

  // The names above the axes

  private drawHeads(): void {
    const focused = [...this.heads.children].indexOf(document.activeElement!);
    this.heads.replaceChildren(...this.axes.map((axis, nth) => this.head(axis, nth)));
    (this.heads.children[focused] as HTMLElement | undefined)?.focus();
    this.placeHeads();
  }

  private placeHeads(): void {
    const wide = this.axes.length < 2 ? 200 : this.left(1) - this.left(0);
    [...this.heads.children].forEach((node, nth) => {
      const { style } = node as HTMLElement;
      style.left = `${this.left(nth)}px`;
      style.maxWidth = `${Math.max(40, wide - 8)}px`;
    });
  }

  private head(axis: RunAxis, nth: number): HTMLElement {
    const { name } = axis.column;
    const log = axis.isLog ? element('small', {}, trans.__('log')) : null;
    const said = trans.__(
      '%1. Left and right move the axis, up and down choose what is above, with Shift what is below, Delete chooses all.',
      name
    );
    const attributes = { type: 'button', draggable: 'true', title: name, 'aria-label': said };
    const made = element('button', { class: 'aml-Parallel-head', ...attributes }, name, log);
    made.addEventListener('keydown', event => this.onKey(event, axis, nth));
    made.addEventListener('dragstart', event => {
      this.dragged = name;
      event.dataTransfer?.setData('text/plain', name);
    });
    made.addEventListener('dragover', event => this.dragged !== null && event.preventDefault());
    made.addEventListener('drop', event => {
      event.preventDefault();
      this.moveAxis(this.dragged, nth);
    });
    made.addEventListener('dragend', () => (this.dragged = null));
    return made;
  }

  private moveAxis(name: string | null, to: number): void {
    const names = this.axes.map(axis => axis.column.name);
    const from = names.indexOf(name ?? '');
    if (from >= 0 && to >= 0 && to < names.length && from !== to) {
      names.splice(to, 0, ...names.splice(from, 1));
      this.choose({ axes: names });
    }
  }

  private onKey(event: KeyboardEvent, axis: RunAxis, nth: number): void {
    const { name } = axis.column;
    const [low, high] = this.partOf(axis) ?? [0, 1];
    const step = { ArrowUp: STEP, ArrowDown: -STEP }[event.key as 'ArrowUp' | 'ArrowDown'];
    if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      const to = nth + (event.key === 'ArrowLeft' ? -1 : 1);
      this.moveAxis(name, to);
      (this.heads.children[Math.min(Math.max(to, 0), this.axes.length - 1)] as HTMLElement).focus();
    } else if (step !== undefined) {
      const part = event.shiftKey ? [low, within(high + step)] : [within(low + step), high];
      this.setPart(name, part[1]! - part[0]! > LEAST ? [part[0]!, part[1]!] : [low, high]);
    } else if (event.key === 'Delete' || event.key === 'Escape') {
      this.setPart(name, null);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  // Which axes there are

  private listAxes(): void {
    const words = this.search.value.toLowerCase();
    const shown = new Set(this.axes.map(axis => axis.column.name));
    const fitting = this.table.columns.filter(({ name }) => name.toLowerCase().includes(words));
    this.list.replaceChildren(...fitting.map(column => this.axisChoice(column, shown)));
  }

  private axisChoice({ name }: RunColumn, shown: ReadonlySet<string>): HTMLElement {
    const box = element('input', { type: 'checkbox' });
    box.checked = shown.has(name);
    box.addEventListener('change', () => {
      const names = this.axes.map(axis => axis.column.name).filter(one => one !== name);
      this.choose({ axes: box.checked ? [...names, name] : names });
      // Fewer than two tell nothing of each other.
      box.checked = this.axes.some(axis => axis.column.name === name);
    });
    return element('label', {}, box, name);
  }

  // Pointers

  private listen(signal: AbortSignal): void {
    const { area } = this;
    area.addEventListener('pointerdown', event => this.onDown(event), { signal });
    area.addEventListener('pointermove', event => this.onMove(event), { signal });
    area.addEventListener('pointerup', () => this.onUp(), { signal });
    area.addEventListener('pointercancel', () => (this.brush = null), { signal });
    area.addEventListener('pointerleave', () => this.point(-1, null), { signal });
    const close = (event: Event): void => {
      if (this.menu.open && !this.menu.contains(event.target as Node)) {
        this.menu.open = false;
      }
    };
    document.addEventListener('pointerdown', close, { signal });
    this.menu.addEventListener('keydown', event => {
      if (event.key === 'Escape' && this.menu.open) {
        this.menu.open = false;
        this.menu.querySelector('summary')?.focus();
      }
    });
    const resized = new ResizeObserver(() => this.placeHeads());
    [this.sizes, resized].forEach(observer => observer.observe(area));
    watchTheme(() => requestAnimationFrame(() => this.onTheme()), signal);
    signal.addEventListener('abort', () => [this.sizes, resized].forEach(one => one.disconnect()));
  }

  private onTheme(): void {
    this.theme = null;
    this.draw();
  }

  private at(event: PointerEvent): { x: number; y: number; part: number } {
    const box = this.area.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return { x, y, part: within(1 - (y - TOP) / this.height) };
  }

  private onDown(event: PointerEvent): void {
    const { x, part } = this.at(event);
    const axis = this.axes.find((_, nth) => Math.abs(this.left(nth) - x) <= GRIP);
    if (axis && event.button === 0 && !this.heads.contains(event.target as Node)) {
      this.brush = { name: axis.column.name, from: part, moved: false };
      this.area.setPointerCapture(event.pointerId);
      event.preventDefault();
    }
  }

  private onMove(event: PointerEvent): void {
    const { x, y, part } = this.at(event);
    const { brush } = this;
    if (brush) {
      const [low, high] = [Math.min(brush.from, part), Math.max(brush.from, part)];
      if (high - low > LEAST) {
        brush.moved = true;
        this.setPart(brush.name, [low, high]);
      }
      return;
    }
    const isGrip = this.axes.some((_, nth) => Math.abs(this.left(nth) - x) <= GRIP);
    const isAxis = isGrip && y >= TOP;
    const run = y < TOP ? -1 : this.nearest(x, y);
    this.area.style.cursor = isAxis ? 'ns-resize' : run >= 0 ? 'pointer' : '';
    this.point(run, { x, y });
  }

  private onUp(): void {
    const { brush } = this;
    this.brush = null;
    if (brush) {
      if (!brush.moved) {
        this.setPart(brush.name, null);
      }
    } else if (this.pointed >= 0) {
      this.listener.opened?.(this.table.ids[this.pointed]!);
    }
  }

  /** The run whose line passes closest, among those of interest; -1 where none is close. */
  private nearest(x: number, y: number): number {
    const nth = this.axes.findIndex((_, at) => this.left(at) > x) - 1;
    const [one, other] = [this.axes[nth], this.axes[nth + 1]];
    if (!one || !other) {
      return -1;
    }
    const wide = this.left(nth + 1) - this.left(nth);
    const part = (x - this.left(nth)) / wide;
    let [best, closest] = [-1, NEAR];
    this.kept.forEach((isKept, run) => {
      const [from, to] = [this.down(one, run), this.down(other, run)];
      const above = Math.abs(from * (1 - part) + to * part - y);
      const distance = above / Math.hypot(1, (to - from) / wide);
      if (isKept && distance < closest) {
        [best, closest] = [run, distance];
      }
    });
    return best;
  }

  private point(run: number, at: { x: number; y: number } | null): void {
    if (run !== this.pointed) {
      this.pointed = run;
      this.drawFront();
      if (at) {
        this.writeTip(run);
      }
      if (at || run < 0) {
        this.listener.pointed?.(this.table.ids[run] ?? null);
      }
    }
    setShown(this.tip, run >= 0 && at !== null);
    if (at && run >= 0) {
      const { offsetWidth, offsetHeight, style } = this.tip;
      const { clientWidth, clientHeight } = this.area;
      const isWide = at.x + 14 + offsetWidth > clientWidth;
      style.left = `${isWide ? Math.max(0, at.x - 14 - offsetWidth) : at.x + 14}px`;
      style.top = `${Math.max(0, Math.min(at.y + 12, clientHeight - offsetHeight))}px`;
    }
  }

  private writeTip(run: number): void {
    const lines = this.axes.slice(0, 12).map(axis =>
      element('div', {}, element('span', {}, short(axis.column.name, 40)), element('b', {}, axis.text(run)))
    );
    this.tip.replaceChildren(element('b', {}, this.table.labels[run] ?? ''), ...lines);
  }
}

/** Parameters in which the runs differ, then as many metrics. */
function mostTelling(columns: readonly RunColumn[]): RunColumn[] {
  const differing = columns.filter(varies);
  const metrics = differing.filter(column => column.kind === 'metric');
  const others = differing.filter(column => column.kind !== 'metric');
  const room = Math.max(FIRST_AXES - metrics.length, FIRST_AXES / 2);
  const first = others.slice(0, room);
  return [...first, ...metrics.slice(0, FIRST_AXES - first.length)];
}

function within(part: number): number {
  return Math.min(Math.max(part, 0), 1);
}
