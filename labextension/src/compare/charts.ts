import type { Problem } from '../api';
import { element } from '../dom';
import { PlotGrid, plotsOf } from '../plot';
import type { Asked, ChartOptions, RunHead, RunView } from '../protocol';
import type { IServerView } from '../tokens';
import { ChartBar } from '../view/chart_bar';
import type { AnyModel } from '../view/model';
import { Session } from '../view/session';
import { MOST_DRAWN, type CompareModel } from './model';

type Name = keyof RunView;
type Listener = (...values: never[]) => void;

const NOTHING: RunView = {
  runs: [],
  tabs: [],
  tab: 'overview',
  shown: true,
  beat: 0,
  hosted: false,
  options: {
    ...{ filter: '', axis: 'step', log_x: false, log_y: false, smoothing: 0 },
    ...{ grouping: 'each', most: 20, zoomed: false }
  },
  charts: { metrics: 0, matching: 0, charts: 0, drawn: 0, reading: 1, figures: [] },
  log: { file: '', files: [], first: 0, reset: true, lines: [], cut: 0, passed: 0, size: 0, ended: false },
  backs: []
};

/** The curves of the runs that are drawn, over each other; followed only while they are on screen. */
export class Charts {
  readonly node = element('div', { class: 'aml-Compare-charts' });
  private readonly status = element('p', { class: 'aml-Compare-note', role: 'status' });
  private readonly content = element('div', {});
  private readonly colours = new Map<string, string>();
  private shown: { readonly key: string; readonly end: () => void } | null = null;
  private options: ChartOptions | undefined;
  private isOpen = false;

  constructor(
    private readonly model: CompareModel,
    private readonly onColours: () => void
  ) {
    this.node.append(this.status, this.content);
  }

  colourOf(run: string): string | undefined {
    return this.colours.get(run);
  }

  dispose(): void {
    this.close();
  }

  /** It is on screen, or no more. */
  open(isOpen: boolean): void {
    this.isOpen = isOpen;
    if (isOpen) {
      this.update();
    } else {
      this.close();
    }
  }

  /** Other runs are to be drawn. */
  update(): void {
    const { drawn, trans, found } = this.model;
    const key = drawn.join(' ');
    if (!this.isOpen || key === this.shown?.key) {
      return;
    }
    this.close();
    const hidden = (found?.runs.length ?? 0) - drawn.length;
    this.status.textContent =
      hidden > 0
        ? trans.__(
            '%1 of %2 runs are drawn, %3 at most: choose them by the boxes in the table.',
            drawn.length,
            drawn.length + hidden,
            MOST_DRAWN
          )
        : '';
    if (drawn.length > 0) {
      this.show(key, drawn);
    }
  }

  private show(key: string, runs: readonly string[]): void {
    const ended = new AbortController();
    const model = new ChartsModel(
      listener => this.model.service.live.open(this.model.choices.place, runs, listener),
      this.options,
      problem => this.complain(problem)
    );
    const session = new Session(model);
    const bar = new ChartBar(session, ended.signal);
    const grid = new PlotGrid(plotsOf(session), ended.signal);
    session.onChange('runs', () => this.colour(session.get('runs')), ended.signal);
    session.onChange('options', () => (this.options = session.get('options')), ended.signal);
    session.setVisible(this, true);
    this.content.replaceChildren(bar.node, grid.node, bar.more);
    this.shown = {
      key,
      end: () => {
        ended.abort();
        session.close();
        model.dispose();
      }
    };
  }

  private close(): void {
    this.shown?.end();
    this.shown = null;
    this.content.replaceChildren();
  }

  private complain({ message, hint }: Problem): void {
    this.status.textContent = `${message} ${hint}`.trim();
  }

  private colour(runs: readonly RunHead[]): void {
    this.colours.clear();
    runs.forEach(({ id, colour }) => this.colours.set(id, colour));
    this.onColours();
  }
}

/** What the server says of runs that are drawn, in the form that the live view takes. */
class ChartsModel implements AnyModel {
  private readonly state: Record<Name, unknown>;
  private readonly view: IServerView;
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly changed = new Set<Name>();

  constructor(
    open: (listener: Parameters<CompareModel['service']['live']['open']>[2]) => IServerView,
    options: ChartOptions | undefined,
    failed: (problem: Problem) => void
  ) {
    this.state = { ...NOTHING, options: options ?? NOTHING.options };
    this.view = open({
      state: (name, value) => this.take(name, value),
      told: (told, buffers) => this.emit('msg:custom', told, buffers),
      reopened: () => this.emit('comm_live_update'),
      failed
    });
    if (options !== undefined) {
      this.view.set('options', { ...options, zoomed: false });
    }
  }

  get(name: string): unknown {
    return this.state[name as Name];
  }

  set(name: string, value: unknown): void {
    this.changed.add(name as Name);
    this.take(name as Name, value);
  }

  save_changes(): void {
    this.changed.forEach(name => this.view.set(name, this.state[name] as never));
    this.changed.clear();
  }

  send(content: unknown): void {
    this.view.ask(content as Asked);
  }

  on(name: string, callback: Listener): void {
    this.listeners.set(name, (this.listeners.get(name) ?? new Set()).add(callback));
  }

  off(name: string, callback: Listener): void {
    this.listeners.get(name)?.delete(callback);
  }

  dispose(): void {
    this.listeners.clear();
    this.view.dispose();
  }

  private take(name: Name, value: unknown): void {
    this.state[name] = value;
    this.emit(`change:${name}`);
  }

  private emit(name: string, ...values: unknown[]): void {
    this.listeners.get(name)?.forEach(listener => listener(...(values as never[])));
  }
}
