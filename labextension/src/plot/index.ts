export { PlotGrid } from './grid';
export { ParallelPlot, type ParallelChoice } from './parallel';
export type { RunColumn, RunListener, RunTable } from './run_axis';
export { ScatterPlot, type ScatterChoice } from './scatter';
export { plotsOf, type PlotSource } from './source';
