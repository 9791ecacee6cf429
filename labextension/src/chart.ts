import type { TranslationBundle } from '@jupyterlab/translation';

import { element, svg } from './dom';
import { number } from './format';
import type { MetricSeries } from './protocol';

const WIDTH = 300;
const HEIGHT = 96;
// Keeps the line and its end dot from touching the frame.
const MARGIN = 6;
const AXIS_DIGITS = 3;

type Point = readonly [x: number, y: number];
type Range = readonly [low: number, high: number];

/** A small line chart of one metric, with its last value above and the ends of both axes around it. */
export function chartOf(series: MetricSeries, trans: TranslationBundle): HTMLElement {
  const lines = segments(series);
  const points = lines.flat();
  return element(
    'figure',
    { class: 'aml-Chart' },
    caption(series),
    points.length > 0
      ? plot(series, lines, points, trans)
      : element('p', { class: 'aml-Chart-empty' }, trans.__('No finite values'))
  );
}

function caption(series: MetricSeries): HTMLElement {
  return element(
    'figcaption',
    { class: 'aml-Chart-caption' },
    element('span', { class: 'aml-Chart-name', title: series.name }, series.name),
    element('span', { class: 'aml-Chart-last' }, number(series.last))
  );
}

function plot(
  series: MetricSeries,
  lines: readonly Point[][],
  points: readonly Point[],
  trans: TranslationBundle
): HTMLElement {
  const xs = rangeOf(points.map(point => point[0]));
  const ys = rangeOf(points.map(point => point[1]));
  return element(
    'div',
    { class: 'aml-Chart-plot' },
    axis('y', ys[1], ys[0]),
    drawing(lines, xs, ys, description(series, ys, trans)),
    axis('x', xs[0], xs[1])
  );
}

function axis(name: 'x' | 'y', first: number, second: number): HTMLElement {
  return element(
    'div',
    { class: `aml-Chart-axis aml-mod-${name}`, 'aria-hidden': 'true' },
    element('span', {}, number(first, AXIS_DIGITS)),
    first === second ? null : element('span', {}, number(second, AXIS_DIGITS))
  );
}

function drawing(
  lines: readonly Point[][],
  xs: Range,
  ys: Range,
  label: string
): SVGElement {
  const place = ([x, y]: Point): Point => [
    scaled(x, xs, MARGIN, WIDTH - MARGIN),
    scaled(y, ys, HEIGHT - MARGIN, MARGIN)
  ];
  return svg(
    'svg',
    {
      class: 'aml-Chart-drawing',
      role: 'img',
      'aria-label': label,
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: 'none'
    },
    ...[0.25, 0.5, 0.75].map(part => gridLine(part * HEIGHT)),
    ...lines.map(line => curve(line.map(place)))
  );
}

function gridLine(y: number): SVGElement {
  return svg('path', { class: 'aml-Chart-grid', d: `M0 ${y}H${WIDTH}` });
}

function curve(places: readonly Point[]): SVGElement {
  const text = places.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`);
  // A point alone has no length; a stroke with round ends draws it as a dot.
  const d = places.length === 1 ? `M${text[0]}h0.01` : `M${text.join('L')}`;
  const kind = places.length === 1 ? 'aml-Chart-dot' : 'aml-Chart-line';
  return svg('path', { class: kind, d });
}

/** The series cut at its gaps: each piece is drawn as a line of its own. */
function segments(series: MetricSeries): Point[][] {
  const pieces: Point[][] = [[]];
  series.y.forEach((y, index) => {
    const x = series.x[index];
    if (y === null || x === undefined) {
      pieces.push([]);
    } else {
      pieces[pieces.length - 1]?.push([x, y]);
    }
  });
  return pieces.filter(piece => piece.length > 0);
}

// A loop, because spreading a long series into Math.min can overflow the stack.
function rangeOf(values: readonly number[]): Range {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

function scaled(value: number, [low, high]: Range, from: number, to: number): number {
  const part = high > low ? (value - low) / (high - low) : 0.5;
  return from + part * (to - from);
}

function description(
  series: MetricSeries,
  [low, high]: Range,
  trans: TranslationBundle
): string {
  return trans.__(
    '%1: %2 points from %3 to %4, last %5',
    series.name,
    series.count,
    number(low),
    number(high),
    number(series.last)
  );
}
