import { element, svg } from '../dom';
import { Gestures } from './chart_gestures';
import { Hover, type Plot } from './chart_hover';
import type { ChartModel, Curve } from './chart_model';
import { setText } from './controls';
import { guardKeys } from './presence';
import { trans } from './words';

const DASHES: Readonly<Record<string, string>> = {
  dashed: '6 3',
  dotted: '2 3',
  dash_dotted: '6 3 2 3'
};
const BACK = 'M3 3v3.5h3.5M3.3 6.2A5 5 0 1 1 3 9.5';
const CORNERS = 'M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4';
const FULL = 'aml-chart-full';

/** The height of what is written below the x axis. */
const AXIS = 22;

/** A chart on the page: its title, legend and buttons, and what pointers and keys do to it. */
export class Pane {
  private readonly ending = new AbortController();
  private readonly hover: Hover;
  private readonly gestures: Gestures;
  private readonly name = element('span', { class: 'aml-chart-name' });
  private readonly last = element('span', { class: 'aml-chart-last' });
  private readonly all: HTMLButtonElement;
  private readonly head: HTMLElement;
  private readonly legend = element('div', { class: 'aml-chart-legend' });
  private readonly frame = element('div', { class: 'aml-chart-frame' });
  private readonly sizes = new ResizeObserver(() => this.resized());
  private size = { width: 0, height: 0 };
  private legendSays = '';
  private lastSays = '';
  private inset = '';

  constructor(
    private readonly el: HTMLElement,
    private readonly figure: ChartModel,
    private readonly title: string,
    private readonly onZoom: () => void,
    tools: readonly HTMLElement[] = []
  ) {
    const { signal } = this.ending;
    this.hover = new Hover(figure);
    this.all = drawnButton(BACK, trans.__('Show all of %1', title), () => this.showAll());
    const toggleFull = (): void => void this.toggleFull();
    const full = drawnButton(CORNERS, trans.__('Full screen: %1', title), toggleFull);
    const controls = [this.all, ...tools, full];
    this.head = element('div', { class: 'aml-chart-head' }, this.name, this.last, ...controls);
    this.name.textContent = this.name.title = title;
    this.gestures = new Gestures(el, figure, this.hover, this.surroundings(), signal);
    el.classList.add('aml-chart');
    el.append(...this.parts());
    for (const [name, value] of Object.entries({
      role: 'figure',
      tabindex: '0',
      'aria-keyshortcuts': '+ - ArrowLeft ArrowRight 0 F'
    })) {
      el.setAttribute(name, value);
    }
    // Else 0, pressed twice, would restart the kernel.
    guardKeys(el, signal);
    this.legend.addEventListener('click', event => this.onLegend(event), { signal });
    figure.watchers.add(this.refresh);
    this.sizes.observe(el);
    this.resized();
    this.refresh();
  }

  /** Take everything away that was added. */
  detach(): void {
    this.ending.abort();
    this.sizes.disconnect();
    this.figure.watchers.delete(this.refresh);
    this.el.classList.remove('aml-chart', FULL);
    this.parts().forEach(part => part.remove());
  }

  /** Mark a place where a pointer is in another chart; null for none. */
  follow(place: number | null): void {
    if (this.gestures.isPointed) {
      return;
    }
    const value = place === null ? '' : this.hover.mark(this.plot(), place);
    if (place === null) {
      this.hover.hide();
    }
    this.last.textContent = value || this.lastSays;
  }

  private parts(): HTMLElement[] {
    return [this.frame, this.head, this.legend, this.gestures.band, this.hover.element];
  }

  private surroundings(): ConstructorParameters<typeof Gestures>[3] {
    return {
      plot: () => this.plot(),
      isControl: target =>
        target instanceof Node && (this.head.contains(target) || this.legend.contains(target)),
      zoomed: () => this.onZoom(),
      full: () => void this.toggleFull(),
      leave: () => this.leaveFull()
    };
  }

  private readonly refresh = (): void => {
    const { curves } = this.figure;
    const last = curves.length === 1 ? curves[0]!.last : '';
    if (last !== this.lastSays) {
      this.lastSays = last;
      this.last.textContent = last;
    }
    this.all.hidden = !this.figure.zoomed;
    const said = this.description(curves, last);
    if (this.el.getAttribute('aria-label') !== said) {
      this.el.setAttribute('aria-label', said);
    }
    this.drawLegend(curves);
    this.measure();
    if (this.gestures.isPointed) {
      this.gestures.later();
    }
  };

  private description(curves: readonly Curve[], last: string): string {
    const { title } = this;
    const several = trans.__('%1, %2 lines', title, curves.length);
    const one = last ? trans.__('%1, last value %2', title, last) : title;
    const keys = trans.__('Plus and minus zoom, the arrows move, 0 shows everything.');
    return `${curves.length > 1 ? several : one}. ${keys}`;
  }

  private drawLegend(curves: readonly Curve[]): void {
    const shown = curves.length < 2 ? [] : curves;
    const says = JSON.stringify(shown.map(({ label, colour, dash }) => [label, colour, dash]));
    if (says !== this.legendSays) {
      this.legendSays = says;
      this.legend.hidden = shown.length === 0;
      this.legend.replaceChildren(...shown.map(one => this.legendEntry(one)));
    }
    // In place, so that a click is not lost where new values come all the time.
    shown.forEach(({ label, last, hidden }, nth) => {
      const entry = this.legend.children[nth]!;
      setText(entry.lastElementChild!, last);
      entry.setAttribute('title', `${label}: ${last}`);
      if (this.figure.choose) {
        entry.setAttribute('aria-pressed', String(!hidden));
      }
    });
  }

  private legendEntry({ label, colour, dash }: Curve): HTMLElement {
    const stroke = `stroke:${colour};stroke-dasharray:${DASHES[dash] ?? 'none'}`;
    const swatch = svg(
      'svg',
      { width: '18', height: '8', 'aria-hidden': 'true' },
      svg('path', { d: 'M0 4H18', style: stroke })
    );
    const parts = [swatch, element('span', {}, label), element('b', {})];
    return this.figure.choose
      ? element('button', { type: 'button', class: 'aml-chart-entry' }, ...parts)
      : element('span', { class: 'aml-chart-entry' }, ...parts);
  }

  private onLegend(event: MouseEvent): void {
    const entry = (event.target as Element).closest('button');
    const chosen = this.figure.curves[[...this.legend.children].indexOf(entry!)];
    if (!chosen) {
      return;
    }
    const isAlone = this.figure.curves.every(one => one === chosen || one.hidden);
    // A second click means alone; its first one has hidden or shown the line itself.
    if (event.altKey || event.detail === 2) {
      this.figure.choose?.(one => !isAlone && one.label !== chosen.label);
    } else {
      this.figure.choose?.(one => (one.label === chosen.label) !== Boolean(one.hidden));
    }
  }

  private resized(): void {
    this.size = { width: this.el.clientWidth, height: this.el.clientHeight };
    this.measure();
  }

  private measure(): void {
    const { width, height } = this.plot();
    const { top, right, bottom, left } = this.figure.margin;
    const inset = `${top}px ${right}px ${bottom}px ${left}px`;
    // Called with every frame of a move: what stays is not written again.
    if (inset !== this.inset) {
      this.inset = inset;
      this.frame.style.inset = inset;
      this.legend.style.inset = `calc(100% - ${bottom - AXIS}px) ${right}px 0 ${left}px`;
    }
    this.figure.resize(width, height);
  }

  private plot(): Plot {
    const { top, right, bottom, left } = this.figure.margin;
    return {
      left,
      top,
      width: Math.max(1, this.size.width - left - right),
      height: Math.max(1, this.size.height - top - bottom)
    };
  }

  private showAll(): void {
    this.figure.showAll();
    this.onZoom();
    // The button goes with what it was for.
    this.el.focus({ preventScroll: true });
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
      this.el.classList.toggle(FULL);
    }
  }

  /** Leave full screen; whether that was to be done. */
  private leaveFull(): boolean {
    const was = this.el.classList.contains(FULL) || document.fullscreenElement === this.el;
    this.el.classList.remove(FULL);
    if (document.fullscreenElement === this.el) {
      void document.exitFullscreen();
    }
    return was;
  }
}

/** A button of a chart's head; its sign is a path in 16 by 16. */
export function drawnButton(path: string, name: string, onClick: () => void): HTMLButtonElement {
  const sign = svg('svg', { viewBox: '0 0 16 16', width: '13' }, svg('path', { d: path }));
  const made = element('button', { type: 'button', title: name, 'aria-label': name }, sign);
  made.addEventListener('click', onClick);
  return made;
}
