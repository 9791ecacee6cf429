import { element, svg } from '../dom';
import { bytes, number, ticking } from '../format';
import type { SystemSeries } from '../protocol';
import type { Part } from './part';
import type { Session } from './session';
import { trans, waiting } from './words';

const WIDTH = 280;
const HEIGHT = 84;
// As in the other charts: colours that are told apart by everybody, and dashes beside them.
const COLOURS = [
  ...['#1a7ec2', '#d55e00', '#009e73', '#c4659f'],
  ...['#b07d00', '#3f9dbf', '#8a6fd1', '#808080']
];
const DASHES = ['', '6 3', '2 3', '6 3 2 3'];

/** Small charts of what the machine and the job's processes did. */
export class SystemView implements Part {
  readonly node = element('div', { class: 'aml-v-system' });

  constructor(private readonly session: Session, signal: AbortSignal) {
    session.onTold('system', told => this.draw(told.system ?? []), signal);
  }

  open(): void {
    this.draw(this.session.answer('system')?.system ?? null);
    this.session.ask({ kind: 'system' });
  }

  refresh(): void {
    // The kernel sends what is new by itself while this tab is open.
  }

  private draw(series: readonly SystemSeries[] | null): void {
    const drawn = (series ?? []).filter(one => one.x.length > 0);
    if (drawn.length === 0) {
      const words = series === null ? waiting() : trans.__('Nothing was measured yet.');
      this.node.replaceChildren(element('p', { class: 'aml-v-muted' }, words));
      return;
    }
    const groups = new Map<string, SystemSeries[]>();
    drawn.forEach(one => groups.set(one.group, [...(groups.get(one.group) ?? []), one]));
    const longest = drawn.reduce((most, one) => Math.max(most, one.x[one.x.length - 1] ?? 0), 1);
    this.node.replaceChildren(...[...groups].map(([name, all]) => figure(name, all, longest)));
  }
}

function figure(name: string, series: readonly SystemSeries[], longest: number): HTMLElement {
  const unit = series[0]?.unit ?? '';
  const top = ceiling(series, unit);
  const isAlone = series.length === 1;
  const notes = [...new Set(series.map(one => one.note).filter(note => note !== ''))];
  return element(
    'figure',
    { class: 'aml-v-measure' },
    element('figcaption', {}, element('strong', {}, name), isAlone ? valueOf(series[0]) : null),
    drawing(name, series, longest, top),
    element(
      'div',
      { class: 'aml-v-ends', 'aria-hidden': 'true' },
      element('span', {}, trans.__('0 to %1', inUnit(top, unit))),
      element('span', {}, ticking(longest))
    ),
    isAlone ? null : element('div', { class: 'aml-v-legends' }, ...series.map(legend)),
    ...notes.map(note => element('p', { class: 'aml-v-muted' }, note))
  );
}

function legend(series: SystemSeries, index: number): HTMLElement {
  return element('span', {}, sample(index), series.name, ' ', valueOf(series));
}

function valueOf(series: SystemSeries | undefined): HTMLElement {
  const last = lastOf(series?.y ?? []);
  const words = last === null ? '–' : inUnit(last, series?.unit ?? '');
  return element('span', { class: 'aml-v-number' }, words);
}

function sample(index: number): SVGElement {
  return svg(
    'svg',
    { class: 'aml-v-sample', viewBox: '0 0 18 6', 'aria-hidden': 'true' },
    svg('path', { d: 'M0 3H18', ...stroke(index) })
  );
}

function drawing(
  name: string,
  series: readonly SystemSeries[],
  longest: number,
  top: number
): SVGElement {
  const words = series.map(one => trans.__('%1 last %2', one.name, inUnit(lastOf(one.y) ?? 0, one.unit)));
  return svg(
    'svg',
    {
      ...{ class: 'aml-v-drawing', role: 'img', 'aria-label': `${name}: ${words.join(', ')}` },
      ...{ viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' }
    },
    ...[0.25, 0.5, 0.75].map(part => gridLine(HEIGHT * part)),
    ...series.map((one, index) => svg('path', { d: outline(one, longest, top), ...stroke(index) }))
  );
}

function gridLine(down: number): SVGElement {
  return svg('path', { class: 'aml-v-grid', d: `M0 ${down}H${WIDTH}` });
}

function stroke(index: number): Record<string, string> {
  const dash = DASHES[index % DASHES.length] ?? '';
  const colour = COLOURS[index % COLOURS.length] ?? '';
  return { stroke: colour, ...(dash === '' ? {} : { 'stroke-dasharray': dash }) };
}

/** The path of a line, broken where there is no value; a point alone is a dot. */
function outline({ x, y }: SystemSeries, longest: number, top: number): string {
  let path = '';
  y.forEach((value, index) => {
    if (value === null) {
      return;
    }
    const isFirst = index === 0 || y[index - 1] === null;
    const isLast = index === y.length - 1 || y[index + 1] === null;
    const left = ((x[index] ?? 0) / longest) * WIDTH;
    const down = HEIGHT - 1 - (Math.max(0, value) / top) * (HEIGHT - 3);
    path += `${isFirst ? 'M' : 'L'}${left.toFixed(1)} ${down.toFixed(1)}`;
    path += isFirst && isLast ? 'h0.1' : '';
  });
  return path;
}

/** The value at the upper edge: round, and never below the highest one. */
function ceiling(series: readonly SystemSeries[], unit: string): number {
  let highest = 0;
  series.forEach(one => one.y.forEach(value => (highest = Math.max(highest, value ?? 0))));
  if (unit === '%' && highest <= 100) {
    return 100;
  }
  const power = 10 ** Math.floor(Math.log10(highest || 1));
  const steps = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];
  return (steps.find(step => step * power >= highest) ?? 10) * power;
}

function lastOf(values: readonly (number | null)[]): number | null {
  return values[values.length - 1] ?? null;
}

function inUnit(value: number, unit: string): string {
  if (unit === 'B' || unit === 'B/s') {
    return bytes(value) + unit.slice(1);
  }
  return unit === '%' ? `${Math.round(value)} %` : `${number(value, 3)} ${unit}`.trim();
}
