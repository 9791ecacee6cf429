import type { Asked, ChartOptions, ChartSummary, PlotData } from '../protocol';
import type { Session } from '../view/session';

/** Where a grid of charts has its lines from. */
export interface PlotSource {
  charts(): ChartSummary;
  options(): ChartOptions;
  /** Send a question of the kind `plots`; whether it could be sent. */
  ask(asked: Asked): boolean;
  /** Note whether a reader has zoomed into any chart, in the member `zoomed` of the options. */
  setZoomed(zoomed: boolean): void;
  onCharts(listener: () => void, signal: AbortSignal): void;
  onOptions(listener: () => void, signal: AbortSignal): void;
  /** Hear of lines; the buffer may be kept. */
  onPlot(listener: (data: PlotData, buffer: DataView) => void, signal: AbortSignal): void;
  /** Hear that whoever answers has forgotten what was asked. */
  onForgotten(listener: () => void, signal: AbortSignal): void;
}

/** The charts of a session. */
export function plotsOf(session: Session): PlotSource {
  return {
    charts: () => session.get('charts'),
    options: () => session.get('options'),
    ask: asked => session.ask(asked),
    setZoomed: zoomed => session.set('options', { ...session.get('options'), zoomed }),
    onCharts: (listener, signal) => session.onChange('charts', listener, signal),
    onOptions: (listener, signal) => session.onChange('options', listener, signal),
    onPlot: (listener, signal) =>
      session.onPlot(({ data, buffer }) => listener(data, buffer), signal),
    onForgotten: (listener, signal) => session.onReady(listener, signal)
  };
}
