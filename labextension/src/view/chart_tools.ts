import type { ChartOptions, ChartSummary } from '../protocol';
import { Figure, type Widget } from './chart_figure';
import { Pane } from './chart_pane';
import type { AnyModel } from './model';

interface Manager {
  get_model(id: string): Promise<Widget> | undefined;
}

/** Give the charts in a view titles, ticks, legends, hover values, zoom and pan; undone by a call.
 *
 * All of it works on the charts' own models, without a word to the kernel but what part is seen.
 */
export function attachChartTools(view: HTMLElement, model: AnyModel): () => void {
  const manager = model.widget_manager as Partial<Manager> | undefined;
  if (typeof manager?.get_model !== 'function') {
    return () => undefined;
  }
  const tools = new ChartTools(view, model, manager as Manager);
  return () => tools.detach();
}

/** One for all views of a model, so that they agree on what is shown. */
const figures = new WeakMap<Widget, Figure>();

class ChartTools {
  private readonly panes = new Map<HTMLElement, { pane: Pane; figure: Figure }>();
  private readonly arrivals = new MutationObserver(() => this.look());
  private box: Element | null = null;
  private zoomed = false;
  private detached = false;

  constructor(
    private readonly view: HTMLElement,
    private readonly model: AnyModel,
    private readonly manager: Manager
  ) {
    model.on('change:charts', this.look);
    model.on('change:options', this.onOptions);
    this.look();
  }

  detach(): void {
    this.detached = true;
    this.arrivals.disconnect();
    this.model.off('change:charts', this.look);
    this.model.off('change:options', this.onOptions);
    this.panes.forEach(({ pane }) => pane.detach());
    this.panes.clear();
  }

  /** Find charts that came or went. */
  private readonly look = (): void => {
    this.watchBox();
    for (const [el, { pane }] of this.panes) {
      if (!this.view.contains(el)) {
        pane.detach();
        this.panes.delete(el);
      }
    }
    const summary = this.model.get('charts') as Partial<ChartSummary> | undefined;
    for (const { model, title } of summary?.figures ?? []) {
      void this.equip(model, title);
    }
  };

  /** Wait for the box of the charts, then only for what is put into it. */
  private watchBox(): void {
    const box = this.view.querySelector('.aml-charts');
    if (box && box === this.box) {
      return;
    }
    this.box = box;
    this.arrivals.disconnect();
    this.arrivals.observe(box ?? this.view, { childList: true, subtree: !box });
  }

  private async equip(id: string, title: string): Promise<void> {
    const model = await this.manager.get_model(id)?.catch(() => null);
    if (!model) {
      return;
    }
    for (const view of Object.values(model.views ?? {})) {
      const el = (await view.catch(() => null))?.el;
      if (!el || this.detached || this.panes.has(el) || !this.view.contains(el)) {
        continue;
      }
      const figure = figures.get(model) ?? new Figure(model);
      figures.set(model, figure);
      const pane = new Pane(el, figure, title, () => this.onZoom());
      this.panes.set(el, { pane, figure });
    }
  }

  private onZoom(): void {
    const zoomed = [...this.panes.values()].some(({ figure }) => figure.zoomed);
    const options = this.model.get('options') as ChartOptions;
    this.zoomed = zoomed;
    if (options.zoomed !== zoomed) {
      this.model.set('options', { ...options, zoomed });
      this.model.save_changes();
    }
  }

  private readonly onOptions = (): void => {
    const { zoomed } = this.model.get('options') as ChartOptions;
    if (this.zoomed && !zoomed) {
      this.panes.forEach(({ figure }) => figure.showAll());
    }
    this.zoomed = zoomed;
  };
}
