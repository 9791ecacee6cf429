import { element } from '../dom';
import { nearestTo, type ChartModel, type Curve, type Range } from './chart_model';
import { exactValue, shownPlace } from './chart_ticks';
import { trans } from './words';

/** The part of a chart in which lines are drawn, in pixels of its element. */
export interface Plot {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Found {
  curve: Curve;
  /** In pixels of the plot. */
  at: { x: number; y: number };
  place: number;
  value: string;
}

const MOST_ROWS = 12;
const NEAR = 24;

/** What stands under the pointer: a line through the nearest points, and their values. */
export class Hover {
  readonly element = element('div', { class: 'aml-chart-hover', 'aria-hidden': 'true' });

  private readonly cross = element('div', { class: 'aml-chart-cross' });
  private readonly tip = element('div', { class: 'aml-chart-tip' });

  constructor(private readonly figure: ChartModel) {
    this.hide();
  }

  hide(): void {
    this.element.hidden = true;
  }

  /** Show what is nearest to a place in the plot. */
  show(plot: Plot, x: number, y: number): void {
    const found = this.nearest(plot, x, y);
    const gap = this.gapAt(plot, x, found[0]);
    const first = gap ?? found[0];
    this.element.hidden = !first;
    if (first) {
      const rows = gap ? [gap] : beside(found, first);
      this.draw(plot, first.at.x, gap ? [] : rows, this.tip);
      this.write(first, rows);
      this.place(plot, first.at.x);
    }
  }

  /** Mark what is nearest to a place on the axis, where a pointer is in another chart; its value. */
  mark(plot: Plot, place: number): string {
    const [low, high] = this.figure.range.x;
    const found = place < low || place > high ? [] : this.nearest(plot, place, 0, true);
    const first = found[0];
    this.element.hidden = !first;
    if (!first) {
      return '';
    }
    const rows = beside(found, first);
    this.draw(plot, first.at.x, rows);
    return rows.length === 1 ? first.value : '';
  }

  private draw(plot: Plot, x: number, rows: readonly Found[], ...more: Node[]): void {
    this.element.replaceChildren(this.cross, ...rows.map(one => dot(plot, one)), ...more);
    this.cross.style.left = `${plot.left + x}px`;
    this.cross.style.top = `${plot.top}px`;
    this.cross.style.height = `${plot.height}px`;
  }

  /** The point of each line that is nearest across; the lines nearest to the pointer come first. */
  private nearest(plot: Plot, at: number, y: number, isPlace = false): Found[] {
    const { range, log } = this.figure;
    const scale = plot.width / (range.x[1] - range.x[0]);
    const [x, place] = isPlace
      ? [(at - range.x[0]) * scale, at]
      : [at, range.x[0] + at / scale];
    const found: Found[] = [];
    for (const curve of this.figure.curves) {
      const index = curve.hidden ? -1 : nearestTo(curve.x, curve.y, place);
      if (index >= 0) {
        const [its, value] = [curve.x[index]!, curve.y[index]!];
        const text = exactValue(log.y ? 10 ** value : value) + this.loggedNear(curve, its);
        found.push({ curve, at: pixels(plot, range, its, value), place: its, value: text });
      }
    }
    return found
      .filter(one => one.at.x >= -1 && one.at.x <= plot.width + 1)
      .sort((a, b) => distance(a, x, y) - distance(b, x, y));
  }

  /** Beside a smoothed value the one that was logged. */
  private loggedNear({ logged }: Curve, place: number): string {
    const at = logged ? nearestTo(logged.x, logged.y, place) : -1;
    if (!logged || at < 0) {
      return '';
    }
    const value = logged.y[at]!;
    return ` (${exactValue(this.figure.log.y ? 10 ** value : value)})`;
  }

  private gapAt(plot: Plot, x: number, other: Found | undefined): Found | null {
    const { range } = this.figure;
    let [best, closest] = [null as Found | null, Math.min(6, other ? Math.abs(other.at.x - x) : 6)];
    for (const gap of this.figure.gaps) {
      for (let nth = 0; nth < gap.x.length; nth++) {
        const at = pixels(plot, range, gap.x[nth]!, 0);
        if (Math.abs(at.x - x) < closest) {
          closest = Math.abs(at.x - x);
          const curve = this.figure.curves.find(one => one.colour === gap.colour);
          const empty = { label: '', last: '', dash: '', x: [], y: [], logged: null };
          best = {
            curve: curve ?? { ...empty, colour: gap.colour },
            at,
            place: gap.x[nth]!,
            value: gap.kinds[nth] ?? ''
          };
        }
      }
    }
    return best;
  }

  private write(first: Found, rows: readonly Found[]): void {
    const { unit, log } = this.figure;
    const place = log.x ? 10 ** first.place : first.place;
    const several = this.figure.curves.length > 1;
    const lines = rows.slice(0, MOST_ROWS).map(one => {
      const swatch = element('i', {});
      swatch.style.background = one.curve.colour;
      const label = several ? [swatch, element('span', {}, one.curve.label)] : [];
      return element('div', {}, ...label, element('b', {}, one.value));
    });
    const said = shownPlace(place, unit);
    const where = unit === 'number' ? trans.__('step %1', said) : said;
    this.tip.replaceChildren(element('div', { class: 'aml-chart-where' }, where), ...lines);
  }

  private place(plot: Plot, x: number): void {
    const { style, offsetWidth } = this.tip;
    const whole = this.element.clientWidth;
    const beside = plot.left + x + 10;
    const left = beside + offsetWidth <= whole ? beside : plot.left + x - 10 - offsetWidth;
    style.left = `${Math.max(0, Math.min(left, whole - offsetWidth))}px`;
    style.top = `${plot.top + 4}px`;
  }
}

/** Those about as far across as the first. */
function beside(found: readonly Found[], first: Found): Found[] {
  return found.filter(one => Math.abs(one.at.x - first.at.x) <= NEAR);
}

function dot(plot: Plot, found: Found): HTMLElement {
  const made = element('div', { class: 'aml-chart-dot' });
  made.style.left = `${plot.left + found.at.x}px`;
  made.style.top = `${plot.top + Math.min(Math.max(found.at.y, 0), plot.height)}px`;
  made.style.background = found.curve.colour;
  return made;
}

function distance(found: Found, x: number, y: number): number {
  return Math.hypot(found.at.x - x, found.at.y - y);
}

function pixels(plot: Plot, range: { x: Range; y: Range }, x: number, y: number) {
  return {
    x: ((x - range.x[0]) / (range.x[1] - range.x[0])) * plot.width,
    y: (1 - (y - range.y[0]) / (range.y[1] - range.y[0])) * plot.height
  };
}
