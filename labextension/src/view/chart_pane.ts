import { element, svg } from '../dom';
import type { Curve, Figure, Range } from './chart_figure';
import { Hover, type Plot } from './chart_hover';
import { guardKeys } from './presence';

const DASHES: Readonly<Record<string, string>> = {
  dashed: '6 3',
  dotted: '2 3',
  dash_dotted: '6 3 2 3'
};
const BACK = 'M3 3v3.5h3.5M3.3 6.2A5 5 0 1 1 3 9.5';
const CORNERS = 'M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4';
const KEYS = 'Plus and minus zoom, the arrows move, 0 shows everything.';

/** The height of what is written below the x axis. */
const AXIS = 22;

interface Drag {
  kind: 'across' | 'up' | 'move';
  pointer: number;
  from: { x: number; y: number };
  to: { x: number; y: number };
  range: { x: Range; y: Range };
  moved: boolean;
}

/** A chart on the page: its title, legend and buttons, and all that pointers and keys do to it. */
export class Pane {
  private readonly ending = new AbortController();
  private readonly hover: Hover;
  private readonly name = element('span', { class: 'aml-chart-name' });
  private readonly last = element('span', { class: 'aml-chart-last' });
  private readonly all: HTMLButtonElement;
  private readonly head: HTMLElement;
  private readonly legend = element('div', { class: 'aml-chart-legend' });
  private readonly frame = element('div', { class: 'aml-chart-frame' });
  private readonly band = element('div', { class: 'aml-chart-band', hidden: '' });
  private readonly sizes = new ResizeObserver(() => this.measure());
  private drag: Drag | null = null;
  private pointer: { x: number; y: number } | null = null;
  private turned = 0;
  private awaited = 0;
  private legendSays = '';

  constructor(
    private readonly el: HTMLElement,
    private readonly figure: Figure,
    private readonly title: string,
    private readonly onZoom: () => void
  ) {
    this.hover = new Hover(figure);
    this.all = this.button(BACK, `Show all of ${title}`, () => this.showAll());
    const full = this.button(CORNERS, `Full screen: ${title}`, () => void this.toggleFull());
    this.head = element('div', { class: 'aml-chart-head' }, this.name, this.last, this.all, full);
    this.name.textContent = this.name.title = title;
    el.classList.add('aml-chart');
    el.append(...this.parts());
    for (const [name, value] of Object.entries({
      role: 'figure',
      tabindex: '0',
      'aria-keyshortcuts': '+ - ArrowLeft ArrowRight 0'
    })) {
      el.setAttribute(name, value);
    }
    // Else 0, pressed twice, would restart the kernel.
    guardKeys(el, this.ending.signal);
    this.listen();
    figure.watchers.add(this.refresh);
    this.sizes.observe(el);
    this.measure();
    this.refresh();
  }

  /** Take everything away that was added. */
  detach(): void {
    this.ending.abort();
    this.sizes.disconnect();
    cancelAnimationFrame(this.awaited);
    this.figure.watchers.delete(this.refresh);
    this.el.classList.remove('aml-chart', 'aml-chart-full');
    this.parts().forEach(part => part.remove());
  }

  private parts(): HTMLElement[] {
    return [this.frame, this.head, this.legend, this.band, this.hover.element];
  }

  private readonly refresh = (): void => {
    const curves = this.figure.curves;
    const last = curves.length === 1 ? curves[0]!.last : '';
    this.last.textContent = last;
    this.all.hidden = !this.figure.zoomed;
    const several = curves.length > 1 ? `, ${curves.length} lines` : '';
    const said = `${this.title}${several}${last ? `, last value ${last}` : ''}. ${KEYS}`;
    if (this.el.getAttribute('aria-label') !== said) {
      this.el.setAttribute('aria-label', said);
    }
    this.drawLegend(curves);
    this.measure();
    this.later();
  };

  private button(path: string, name: string, onClick: () => void): HTMLButtonElement {
    const sign = svg('svg', { viewBox: '0 0 16 16', width: '13' }, svg('path', { d: path }));
    const made = element('button', { type: 'button', title: name, 'aria-label': name }, sign);
    made.addEventListener('click', onClick);
    return made;
  }

  private drawLegend(curves: readonly Curve[]): void {
    const looks = curves.map(({ label, last, colour, dash }) => [label, last, colour, dash]);
    const says = JSON.stringify(looks);
    if (says === this.legendSays) {
      return;
    }
    this.legendSays = says;
    this.legend.hidden = curves.length < 2;
    this.legend.replaceChildren(...(curves.length < 2 ? [] : curves.map(legendEntry)));
  }

  private measure(): void {
    const { width, height } = this.plot();
    const { top, right, bottom, left } = this.figure.margin;
    this.frame.style.inset = `${top}px ${right}px ${bottom}px ${left}px`;
    this.legend.style.inset = `calc(100% - ${bottom - AXIS}px) ${right}px 0 ${left}px`;
    this.figure.resize(width, height);
  }

  private plot(): Plot {
    const { top, right, bottom, left } = this.figure.margin;
    return {
      left,
      top,
      width: Math.max(1, this.el.clientWidth - left - right),
      height: Math.max(1, this.el.clientHeight - top - bottom)
    };
  }

  private listen(): void {
    const on = <Name extends keyof HTMLElementEventMap>(
      name: Name,
      handler: (event: HTMLElementEventMap[Name]) => void
    ): void =>
      this.el.addEventListener(name, handler, { signal: this.ending.signal, passive: false });
    on('pointerdown', event => this.onDown(event));
    on('pointermove', event => this.onMove(event));
    on('pointerup', event => this.onUp(event));
    on('pointercancel', () => this.dropDrag());
    on('pointerleave', () => this.onLeave());
    on('mousedown', event => {
      // Else the middle button starts scrolling.
      if (event.button === 1) {
        event.preventDefault();
      }
    });
    on('wheel', event => this.onWheel(event));
    on('dblclick', event => {
      if (!this.head.contains(event.target as Node)) {
        this.showAll();
      }
    });
    on('keydown', event => this.onKey(event));
  }

  private at(event: MouseEvent): { x: number; y: number } {
    const box = this.el.getBoundingClientRect();
    const { left, top } = this.plot();
    return { x: event.clientX - box.left - left, y: event.clientY - box.top - top };
  }

  private onDown(event: PointerEvent): void {
    const moves = event.button === 1 || (event.button === 0 && event.shiftKey);
    const from = this.at(event);
    if (this.head.contains(event.target as Node) || (event.button !== 0 && !moves)) {
      return;
    }
    if (this.legend.contains(event.target as Node)) {
      return;
    }
    const kind = moves ? 'move' : from.x < 0 ? 'up' : 'across';
    const range = this.figure.range;
    this.drag = { kind, pointer: event.pointerId, from, to: from, range, moved: false };
  }

  private onMove(event: PointerEvent): void {
    this.pointer = this.at(event);
    const drag = this.drag;
    if (drag && event.pointerId === drag.pointer) {
      drag.to = this.pointer;
      if (!drag.moved && Math.hypot(drag.to.x - drag.from.x, drag.to.y - drag.from.y) > 4) {
        drag.moved = true;
        this.el.setPointerCapture(drag.pointer);
      }
    }
    this.later();
  }

  private onUp(event: PointerEvent): void {
    const drag = this.drag;
    if (!drag || event.pointerId !== drag.pointer) {
      return;
    }
    this.drag = null;
    this.band.hidden = true;
    if (drag.moved && drag.kind !== 'move') {
      this.select(drag);
    }
    this.later();
  }

  private onLeave(): void {
    if (!this.drag) {
      this.pointer = null;
      this.later();
    }
  }

  private dropDrag(): void {
    this.drag = null;
    this.band.hidden = true;
    this.later();
  }

  private onWheel(event: WheelEvent): void {
    // A wheel alone scrolls the page.
    if (!event.ctrlKey && !event.metaKey) {
      return;
    }
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.pointer = this.at(event);
    this.turned += event.deltaY * lines;
    this.later();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.target !== this.el || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const { key } = event;
    if (key === 'Escape' && this.drag) {
      this.dropDrag();
    } else if (key === '+' || key === '=' || key === '-') {
      this.zoom(key === '-' ? 1.5 : 1 / 1.5, 0.5);
    } else if (key === 'ArrowLeft' || key === 'ArrowRight') {
      this.move(this.figure.range, key === 'ArrowLeft' ? 0.2 : -0.2, 0);
    } else if (key === '0' || (key === 'Escape' && this.figure.zoomed)) {
      this.showAll();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** Draw with the next frame, however many events come until then. */
  private later(): void {
    this.awaited ||= requestAnimationFrame(() => {
      this.awaited = 0;
      this.draw();
    });
  }

  private draw(): void {
    const plot = this.plot();
    const { drag, pointer } = this;
    if (this.turned && pointer) {
      const factor = Math.exp(this.turned * 0.002);
      this.turned = 0;
      this.zoom(factor, pointer.x / plot.width, pointer.x < 0 ? pointer.y / plot.height : null);
    }
    if (drag?.moved) {
      this.hover.hide();
      if (drag.kind === 'move') {
        const [x, y] = [drag.to.x - drag.from.x, drag.to.y - drag.from.y];
        this.move(drag.range, x / plot.width, y / plot.height);
      } else {
        this.drawBand(drag, plot);
      }
    } else if (pointer && inside(pointer, plot)) {
      this.hover.show(plot, pointer.x, pointer.y);
    } else {
      this.hover.hide();
    }
  }

  private drawBand(drag: Drag, plot: Plot): void {
    const [low, high] = drag.kind === 'across' ? ends(drag, plot, 'x') : ends(drag, plot, 'y');
    const across = drag.kind === 'across';
    this.band.hidden = false;
    this.band.style.left = `${plot.left + (across ? low * plot.width : 0)}px`;
    this.band.style.width = `${(across ? high - low : 1) * plot.width}px`;
    this.band.style.top = `${plot.top + (across ? 0 : low * plot.height)}px`;
    this.band.style.height = `${(across ? 1 : high - low) * plot.height}px`;
  }

  private select(drag: Drag): void {
    const plot = this.plot();
    if (drag.kind === 'across') {
      const [low, high] = ends(drag, plot, 'x');
      if ((high - low) * plot.width > 4) {
        this.show({ x: part(drag.range.x, low, high) });
      }
    } else {
      const [top, bottom] = ends(drag, plot, 'y');
      if ((bottom - top) * plot.height > 4) {
        this.show({ y: part(drag.range.y, 1 - bottom, 1 - top) });
      }
    }
  }

  /** Make the visible part so many times as wide, around a place; beside the axis as high. */
  private zoom(factor: number, x: number, y: number | null = null): void {
    const { range } = this.figure;
    if (y !== null) {
      this.show({ y: part(range.y, (1 - y) * (1 - factor), (1 - y) * (1 - factor) + factor) });
      return;
    }
    const wider = part(range.x, x * (1 - factor), x * (1 - factor) + factor);
    if (factor > 1 && this.figure.holdsAll(wider)) {
      this.showAll();
    } else {
      this.show({ x: wider });
    }
  }

  /** Move the lines by such parts of the plot, to the right and down. */
  private move(range: { x: Range; y: Range }, right: number, down: number): void {
    const x = part(range.x, -right, 1 - right);
    this.show(this.figure.isHigh ? { x, y: part(range.y, down, 1 + down) } : { x });
  }

  private show(shown: { x?: Range; y?: Range }): void {
    this.figure.show(shown);
    this.onZoom();
  }

  private showAll(): void {
    this.figure.showAll();
    this.onZoom();
  }

  private async toggleFull(): Promise<void> {
    if (document.fullscreenElement === this.el) {
      await document.exitFullscreen();
      return;
    }
    try {
      await this.el.requestFullscreen();
    } catch {
      // Where the page around forbids it, at least as wide as the cell.
      this.el.classList.toggle('aml-chart-full');
    }
  }
}

function legendEntry({ label, last, colour, dash }: Curve): HTMLElement {
  const stroke = `stroke:${colour};stroke-dasharray:${DASHES[dash] ?? 'none'}`;
  const swatch = svg(
    'svg',
    { width: '18', height: '8', 'aria-hidden': 'true' },
    svg('path', { d: 'M0 4H18', style: stroke })
  );
  const name = element('span', { title: `${label}: ${last}` }, label);
  return element('span', { class: 'aml-chart-entry' }, swatch, name, element('b', {}, last));
}

function inside({ x, y }: { x: number; y: number }, plot: Plot): boolean {
  return x >= 0 && x <= plot.width && y >= 0 && y <= plot.height;
}

/** The ends of a drag as parts of the plot, the smaller one first. */
function ends(drag: Drag, plot: Plot, side: 'x' | 'y'): Range {
  const size = side === 'x' ? plot.width : plot.height;
  const [a, b] = [drag.from, drag.to].map(({ [side]: at }) => Math.min(Math.max(at / size, 0), 1));
  return [Math.min(a!, b!), Math.max(a!, b!)];
}

function part([low, high]: Range, from: number, to: number): Range {
  return [low + from * (high - low), low + to * (high - low)];
}
