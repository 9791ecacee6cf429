import uPlot from 'uplot';

import type { Margin, Range } from '../view/chart_model';
import type { Tick } from '../view/chart_ticks';
import type { Theme } from './theme';

/** What a canvas with two axes shows. */
export interface Framed {
  readonly theme: Theme;
  readonly margin: Margin;
  readonly range: { x: Range; y: Range };
  readonly ticks: { x: readonly Tick[]; y: readonly Tick[] };
  /** Draw what lies between the axes. */
  paint(plot: uPlot): void;
}

/** The height of an axis below a plot. */
export const AXIS = 24;

/** A canvas of uPlot's in `node`, with axes that say what `framed` does whenever it is drawn. */
export function frameOf(framed: Framed, node: HTMLElement, hasGrid = { x: false, y: true }): uPlot {
  const font = `11px ${framed.theme.font}`;
  const stroke = (): string => framed.theme.faint;
  const common = { stroke, font, ticks: { show: false }, gap: 6 };
  const grid = (show: boolean): uPlot.Axis.Grid => ({
    show,
    stroke: () => framed.theme.grid,
    width: 0.5
  });
  // uPlot's own steps end at 1e32, and it zooms no closer than 1e-16: what it knows are parts of
  // the range, and what stands there we tell it.
  const scale: uPlot.Scale = { time: false, auto: false, range: [0, 1] };
  const options: uPlot.Options = {
    width: 100,
    height: 100,
    padding: [
      () => framed.margin.top,
      () => framed.margin.right,
      () => framed.margin.bottom - AXIS,
      0
    ],
    cursor: { show: false },
    legend: { show: false },
    scales: { x: scale, y: scale },
    series: [{}],
    axes: [
      { ...common, ...along(framed, 'x'), size: AXIS, grid: grid(hasGrid.x) },
      { ...common, ...along(framed, 'y'), size: () => framed.margin.left, grid: grid(hasGrid.y) }
    ],
    hooks: { draw: [plot => framed.paint(plot)] }
  };
  return new uPlot(options, [[]], node);
}

/** Draw it anew, with a plot of this size. */
export function drawFrame(plot: uPlot, { margin }: Framed, width: number, height: number): void {
  const size = {
    width: width + margin.left + margin.right,
    height: height + margin.top + margin.bottom
  };
  plot.batch(() => {
    if (plot.width !== size.width || plot.height !== size.height) {
      plot.setSize(size);
    }
    plot.redraw(false, true);
  });
}

/** The room that the words beside an axis need. */
export function roomFor(ticks: readonly Tick[]): number {
  const longest = Math.max(4, ...ticks.map(tick => tick.label.length));
  // In steps, so that the plot does not tremble while the numbers beside it change.
  return Math.ceil((Math.min(longest, 20) * 6.2 + 10) / 12) * 12;
}

function along(framed: Framed, side: 'x' | 'y'): Pick<uPlot.Axis, 'splits' | 'values'> {
  return {
    splits: () => {
      const [low, high] = framed.range[side];
      return framed.ticks[side].map(tick => (tick.at - low) / (high - low));
    },
    values: () => framed.ticks[side].map(tick => tick.label)
  };
}
