export { PlotGrid } from './grid';
export { plotsOf, type PlotSource } from './source';
