import type uPlot from 'uplot';

import { element } from '../dom';
import type { Margin, Range } from '../view/chart_model';
import { choice, fillChoice, newId, setPressed, setShown, toggle } from '../view/controls';
import { trans } from '../view/words';
import { AXIS, drawFrame, frameOf, roomFor, type Framed } from './frame';
import { RunAxis, varies, type RunColumn, type RunListener, type RunTable } from './run_axis';
import { themeOf, watchTheme, type Theme } from './theme';

/** What a reader chose; plain JSON, to be kept. */
export interface ScatterChoice {
  x: string;
  y: string;
  /** The column whose values colour the runs; empty for the runs' own colours. */
  colour: string;
  logX?: boolean;
  logY?: boolean;
}

const RADIUS = 4.5;
const NEAR = 14;
const STEPS: ReadonlyMap<string, number> = new Map([
  ['ArrowRight', 1],
  ['ArrowLeft', -1]
]);
const NOTHING: RunTable = { columns: [], labels: [], ids: [], colours: [] };
const NONE = new RunAxis({ name: '', kind: '', values: [] });

/** Runs as dots: one thing of them across, another up, a third as their colour. */
export class ScatterPlot implements Framed {
  readonly node: HTMLElement;
  private readonly x = choice(trans.__('Across'), [], x => this.choose({ x }));
  private readonly y = choice(trans.__('Up'), [], y => this.choose({ y }));
  private readonly colour = choice(trans.__('Colour'), [], colour => this.choose({ colour }));
  private readonly logX = toggle(trans.__('log x'), logX => this.choose({ logX }));
  private readonly logY = toggle(trans.__('log y'), logY => this.choose({ logY }));
  private readonly area = element('div', { class: 'aml-Scatter-area', tabindex: '0', role: 'img' });
  private readonly tip = element('div', { class: 'aml-chart-tip', hidden: '' });
  private readonly said = element('div', { class: 'aml-Plots-said', 'aria-live': 'polite' });
  private readonly sizes = new ResizeObserver(() => this.resize());
  private plot: uPlot | null = null;
  private shownTheme: Theme | null = null;
  private table: RunTable = NOTHING;
  private chosen: ScatterChoice = { x: '', y: '', colour: '' };
  private axes = { x: NONE, y: NONE, colour: null as RunAxis | null };
  private size = { width: 0, height: 0 };
  private pointed = -1;
  private others: ReadonlySet<string> | null = null;

  constructor(
    private readonly listener: RunListener,
    private readonly onChoice: (chosen: ScatterChoice) => void,
    signal: AbortSignal
  ) {
    const field = (words: string, ...inputs: HTMLElement[]): HTMLElement =>
      element('span', { class: 'aml-v-field' }, words, ...inputs);
    const bar = element('div', { class: 'aml-v-panel aml-Plots-bar' });
    bar.append(field(trans.__('Across'), this.x, this.logX));
    bar.append(field(trans.__('Up'), this.y, this.logY));
    bar.append(field(trans.__('Colour'), this.colour));
    this.area.append(this.tip);
    this.node = element('div', { class: 'aml-Scatter' }, bar, this.area, this.said);
    this.said.id = newId();
    this.listen(signal);
  }

  get theme(): Theme {
    return (this.shownTheme ??= themeOf(this.node));
  }

  get range(): { x: Range; y: Range } {
    return { x: this.axes.x.range, y: this.axes.y.range };
  }

  get ticks(): Framed['ticks'] {
    const { width, height } = this.size;
    return { x: this.axes.x.ticks(width, false), y: this.axes.y.ticks(height, true) };
  }

  get margin(): Margin {
    const ticks = this.axes.y.ticks(this.area.clientHeight, true);
    return { top: 12, right: 20, bottom: AXIS + 20, left: roomFor(ticks) + 16 };
  }

  /** Show these runs, on the axes that were chosen if they are still there. */
  show(table: RunTable, chosen: ScatterChoice = this.chosen): void {
    this.table = table;
    const names = table.columns.map(column => column.name);
    const options = names.map(name => [name, name] as const);
    fillChoice(this.x, options);
    fillChoice(this.y, options);
    fillChoice(this.colour, [['', trans.__('as in charts')], ...options]);
    this.chosen = { ...chosen, ...this.sensible(chosen) };
    this.refresh();
  }

  /** Emphasise a run that is pointed at elsewhere. */
  highlight(id: string | null): void {
    this.point(id === null ? -1 : this.table.ids.indexOf(id), true);
  }

  /** Show the others faintly; null for none. */
  only(ids: readonly string[] | null): void {
    this.others = ids && new Set(ids);
    this.draw();
  }

  paint({ ctx, bbox }: uPlot): void {
    const ratio = bbox.width / Math.max(this.size.width, 1);
    ctx.save();
    this.order().forEach(run => this.dot(ctx, bbox, run, ratio));
    ctx.restore();
    this.label(ctx, bbox, ratio);
  }

  // Axes

  /** Axes that are there, and of which the runs differ in one and the other. */
  private sensible({ x, y, colour }: ScatterChoice): Pick<ScatterChoice, 'x' | 'y' | 'colour'> {
    const { columns } = this.table;
    const isThere = (name: string): boolean => columns.some(column => column.name === name);
    const first = (fits: (column: RunColumn) => boolean, but: string): string =>
      (columns.find(one => fits(one) && one.name !== but) ?? columns[0])?.name ?? '';
    const across = isThere(x) ? x : first(one => one.kind !== 'metric' && varies(one), '');
    const up = isThere(y) ? y : first(one => one.kind === 'metric' && varies(one), across);
    return { x: across, y: up, colour: isThere(colour) ? colour : '' };
  }

  private choose(change: Partial<ScatterChoice>): void {
    this.chosen = { ...this.chosen, ...change };
    // Another column has its own way of being spread.
    if (change.x !== undefined) {
      delete this.chosen.logX;
    }
    if (change.y !== undefined) {
      delete this.chosen.logY;
    }
    this.refresh();
    this.onChoice(this.chosen);
  }

  private refresh(): void {
    const { x, y, colour, logX, logY } = this.chosen;
    const axis = (name: string, isLog?: boolean): RunAxis => {
      const column = this.table.columns.find(one => one.name === name);
      return column ? new RunAxis(column, isLog) : NONE;
    };
    this.axes = { x: axis(x, logX), y: axis(y, logY), colour: colour ? axis(colour) : null };
    [this.x.value, this.y.value, this.colour.value] = [x, y, colour];
    setPressed(this.logX, this.axes.x.isLog);
    setPressed(this.logY, this.axes.y.isLog);
    setShown(this.logX, this.axes.x.isNumeric);
    setShown(this.logY, this.axes.y.isNumeric);
    this.point(-1, true);
    const words = trans.__('%1 over %2, %3 runs. The arrows go from run to run, Enter opens one.', y, x, this.seen().length);
    this.area.setAttribute('aria-label', words);
    this.resize();
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.area;
    const { top, right, bottom, left } = this.margin;
    this.size = {
      width: Math.max(1, clientWidth - left - right),
      height: Math.max(1, clientHeight - top - bottom)
    };
    this.draw();
  }

  // Drawing

  private draw(): void {
    if (this.size.width > 1) {
      this.plot ??= frameOf(this, this.area, { x: true, y: true });
      drawFrame(this.plot, this, this.size.width, this.size.height);
    }
  }

  /** The runs that have a place, from left to right. */
  private seen(): number[] {
    const { x, y } = this.axes;
    const runs = this.table.ids.map((_, run) => run);
    return runs
      .filter(run => !Number.isNaN(x.places[run]! + y.places[run]!))
      .sort((one, other) => x.places[one]! - x.places[other]!);
  }

  /** The one that is pointed at is drawn last. */
  private order(): number[] {
    const { pointed } = this;
    const seen = this.seen().filter(run => run !== pointed);
    return pointed < 0 ? seen : [...seen, pointed];
  }

  private isFaint(run: number): boolean {
    return this.others !== null && !this.others.has(this.table.ids[run]!);
  }

  private dot(ctx: CanvasRenderingContext2D, box: uPlot.BBox, run: number, ratio: number): void {
    const { x, y, colour } = this.axes;
    const across = box.left + x.part(run) * box.width;
    const down = box.top + (1 - y.part(run)) * box.height;
    const isPointed = run === this.pointed;
    ctx.globalAlpha = isPointed ? 1 : this.isFaint(run) ? 0.12 : 0.8;
    ctx.fillStyle = colour ? colour.colour(run) : (this.table.colours[run] ?? '');
    ctx.beginPath();
    ctx.arc(across, down, RADIUS * ratio * (isPointed ? 1.5 : 1), 0, 7);
    ctx.fill();
    ctx.lineWidth = (isPointed ? 2 : 1) * ratio;
    ctx.strokeStyle = isPointed ? this.theme.text : this.theme.background;
    ctx.stroke();
  }

  private label(ctx: CanvasRenderingContext2D, box: uPlot.BBox, ratio: number): void {
    ctx.save();
    ctx.fillStyle = this.theme.text;
    ctx.font = `${11 * ratio}px ${this.theme.font}`;
    ctx.textAlign = 'center';
    ctx.fillText(this.chosen.x, box.left + box.width / 2, box.top + box.height + 35 * ratio);
    ctx.translate(12 * ratio, box.top + box.height / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.fillText(this.chosen.y, 0, 0);
    ctx.restore();
  }

  // What a reader does

  private listen(signal: AbortSignal): void {
    const { area } = this;
    area.addEventListener('pointermove', event => this.onMove(event), { signal });
    area.addEventListener('pointerdown', event => this.onMove(event), { signal });
    area.addEventListener('pointerleave', () => this.point(-1), { signal });
    area.addEventListener('click', () => this.open(), { signal });
    area.addEventListener('keydown', event => this.onKey(event), { signal });
    area.addEventListener('blur', () => this.point(-1), { signal });
    this.sizes.observe(area);
    watchTheme(() => requestAnimationFrame(() => this.onTheme()), signal);
    signal.addEventListener('abort', () => {
      this.sizes.disconnect();
      this.plot?.destroy();
    });
  }

  private onTheme(): void {
    this.shownTheme = null;
    this.draw();
  }

  private onMove(event: PointerEvent): void {
    const box = this.area.getBoundingClientRect();
    const { left, top } = this.margin;
    const [x, y] = [event.clientX - box.left - left, event.clientY - box.top - top];
    let [best, closest] = [-1, NEAR];
    for (const run of this.seen()) {
      const at = this.at(run);
      const distance = Math.hypot(at.x - x, at.y - y);
      if (distance < closest) {
        [best, closest] = [run, distance];
      }
    }
    this.point(best);
  }

  private at(run: number): { x: number; y: number } {
    const { width, height } = this.size;
    return { x: this.axes.x.part(run) * width, y: (1 - this.axes.y.part(run)) * height };
  }

  private onKey(event: KeyboardEvent): void {
    const seen = this.seen();
    const step = STEPS.get(event.key);
    if (step !== undefined && seen.length > 0) {
      const at = seen.indexOf(this.pointed);
      const next = at < 0 ? (step > 0 ? 0 : seen.length - 1) : at + step;
      this.point(seen[Math.min(Math.max(next, 0), seen.length - 1)]!);
      this.said.textContent = this.words(this.pointed).join(', ');
      event.preventDefault();
    } else if (event.key === 'Enter') {
      this.open();
    }
  }

  private open(): void {
    const id = this.table.ids[this.pointed];
    if (id !== undefined) {
      this.listener.opened?.(id);
    }
  }

  private point(run: number, isQuiet = false): void {
    if (run === this.pointed) {
      return;
    }
    this.pointed = run;
    this.area.classList.toggle('aml-mod-pointed', run >= 0);
    this.draw();
    this.writeTip(run);
    if (!isQuiet) {
      this.listener.pointed?.(this.table.ids[run] ?? null);
    }
  }

  private words(run: number): string[] {
    const { x, y, colour } = this.axes;
    const said = [y, x, ...(colour ? [colour] : [])].map(
      axis => `${axis.column.name}: ${axis.text(run)}`
    );
    return [this.table.labels[run] ?? '', ...said];
  }

  private writeTip(run: number): void {
    setShown(this.tip, run >= 0);
    if (run < 0) {
      return;
    }
    const [label, ...said] = this.words(run);
    const lines = said.map(line => element('div', {}, line));
    this.tip.replaceChildren(element('b', {}, label!), ...lines);
    const { left, top } = this.margin;
    const { x, y } = this.at(run);
    const { clientWidth, clientHeight } = this.area;
    const { offsetWidth, offsetHeight } = this.tip;
    const beside = left + x + 12;
    const isWide = beside + offsetWidth > clientWidth;
    this.tip.style.left = `${isWide ? Math.max(0, left + x - 12 - offsetWidth) : beside}px`;
    this.tip.style.top = `${Math.max(0, Math.min(top + y + 8, clientHeight - offsetHeight))}px`;
  }
}
