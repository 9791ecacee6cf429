import { MainAreaWidget } from '@jupyterlab/apputils';
import type { Message } from '@lumino/messaging';
import { Signal, type ISignal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Problem } from '../api';
import { element, shortName } from '../dom';
import { PlotGrid, plotsOf } from '../plot';
import { lookOf } from '../states';
import { addStyles } from '../styles';
import type { IRunService, RunArguments } from '../tokens';
import { button, setShown, setText } from '../view/controls';
import { drawPanel } from '../view/panel';
import { REVEAL_CELL_EVENT } from '../view/reveal';
import { Session } from '../view/session';
import { openTab } from '../view/tabs';
import { waiting } from '../view/words';
import { CodeView } from './code_view';
import { stateIcon } from './icons';
import { ServerModel, type PageHost } from './model';
import { Pictures } from './pictures';
import charts from '../../style/chart_tools.raw.css';
import page from '../../style/page.raw.css';
import plot from '../../style/plot.raw.css';
import view from '../../style/view.raw.css';

addStyles({ view, page, charts, plot });

export { nameTab } from './tabname';

/** What is remembered of a page, so that it is there again after a reload. */
export interface PageArguments extends RunArguments {
  readonly name?: string;
  readonly tab?: string;
}

/** Where pages of other runs are opened. */
export type Elsewhere = Pick<PageHost, 'open' | 'compare'>;

/** One run in the main area. */
export class RunPage extends MainAreaWidget<RunContent> {
  constructor(content: RunContent) {
    super({ content });
    const { place, run } = content.args;
    this.id = `aml-run-${place}-${run}`;
    this.addClass('aml-Page-area');
    this.toolbar.hide();
    this.title.closable = true;
  }
}

/** The live view of a run, as the server follows it; it begins when it is first looked at. */
export class RunContent extends Widget {
  private readonly banner = element('div', { class: 'aml-Page-banner', role: 'status', hidden: '' });
  private readonly empty = element('div', { class: 'aml-Page-empty', role: 'status' });
  private readonly box = element('div', { class: 'aml-view aml-Page-view', hidden: '' });
  private readonly ending = new AbortController();
  private readonly remembered = new Signal<this, void>(this);
  private session: Session | null = null;
  private model: ServerModel | null = null;
  private problem: Problem | null = null;
  private name: string;
  private tab: string;

  constructor(
    private readonly service: IRunService,
    private readonly given: PageArguments,
    private readonly elsewhere: Elsewhere,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.name = given.name ?? given.run;
    this.tab = given.tab ?? '';
    this.addClass('aml-Page');
    this.node.append(this.banner, this.empty, this.box);
    service.live.connectedChanged.connect(this.updateBanner, this);
    service.problemFound.connect(this.updateBanner, this);
    // Who looks for the cell must know in which workspace the run is.
    this.node.addEventListener(REVEAL_CELL_EVENT, event =>
      Object.assign((event as CustomEvent<object>).detail, { place: given.place })
    );
    this.updateTitle();
  }

  /** The run, and what else is to be remembered of the page. */
  get args(): PageArguments {
    const { place, run } = this.given;
    return { place, run, name: this.name, ...(this.tab === '' ? {} : { tab: this.tab }) };
  }

  /** What is to be remembered has changed. */
  get changed(): ISignal<this, void> {
    return this.remembered;
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.service.live.connectedChanged.disconnect(this.updateBanner, this);
      this.service.problemFound.disconnect(this.updateBanner, this);
      this.end();
      super.dispose();
    }
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.beginIfSeen();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.beginIfSeen();
  }

  protected override onActivateRequest(): void {
    const tab = this.box.querySelector<HTMLElement>('[role="tab"][aria-selected="true"]');
    (tab ?? this.node).focus({ preventScroll: true });
  }

  private beginIfSeen(): void {
    if (this.isVisible && this.session === null && this.problem === null) {
      this.begin();
    }
  }

  private begin(): void {
    const { place, run } = this.given;
    setText(this.empty, waiting());
    this.node.tabIndex = -1;
    const host = { ...this.elsewhere, failed: (problem: Problem) => this.fail(problem) };
    this.model = new ServerModel(this.service, place, run, host, this.tab);
    this.session = new Session(this.model);
    this.draw(this.session);
    this.updateBanner();
  }

  private draw(session: Session): void {
    const { signal } = this.ending;
    const { place, run } = this.given;
    const panel = element('div', {});
    this.box.append(panel);
    const charts = new PlotGrid(plotsOf(session), signal);
    this.box.append(charts.node, new Pictures(session, signal).node);
    drawPanel(session, panel, signal, {
      controls: [charts.together],
      parts: { code: ending => new CodeView(session, this.service, place, run, ending) }
    });
    session.onChange('runs', () => this.onRuns(session), signal);
    session.onChange('tab', () => this.onTab(session), signal);
    // Nobody sees it yet, so that nobody would say that it is looked at.
    session.setVisible(this, true);
    signal.addEventListener('abort', () => session.setVisible(this, false));
  }

  private onRuns(session: Session): void {
    const isFirst = this.box.hidden;
    setShown(this.box, true);
    setShown(this.empty, false);
    const name = session.run?.name || this.given.run;
    this.updateTitle();
    if (name !== this.name) {
      this.name = name;
      this.updateTitle();
      this.remembered.emit();
    }
    if (isFirst) {
      // From here on what can be seen of the box tells.
      session.setVisible(this, false);
    }
  }

  private onTab(session: Session): void {
    const tab = openTab(session);
    // What nobody has chosen may be another one next time: the error, where it fails meanwhile.
    if (tab !== this.tab && this.model?.hasDecided('tab') === true) {
      this.tab = tab;
      this.remembered.emit();
    }
  }

  private updateTitle(): void {
    const { title, name, trans } = this;
    const look = lookOf(this.session?.run?.status ?? '', trans);
    title.label = shortName(name);
    title.className = 'aml-Tab';
    title.icon = stateIcon(look);
    title.caption = [name, look.label, this.given.run].filter(Boolean).join('\n');
  }

  private fail(problem: Problem): void {
    this.problem = problem;
    this.updateBanner();
    if (this.box.hidden) {
      this.empty.replaceChildren(
        element('strong', {}, problem.message),
        element('p', {}, problem.hint),
        button(this.trans.__('Close'), () => this.parent?.dispose(), 'aml-Page-close')
      );
    }
  }

  private updateBanner(): void {
    const { service, trans } = this;
    const problem = this.problem ?? service.problem?.problem ?? null;
    const isAway = this.session !== null && !service.live.connected;
    const words =
      problem !== null
        ? `${problem.message} ${problem.hint}`
        : isAway
          ? trans.__('The server does not answer. Reconnecting…')
          : '';
    if (isAway && this.problem === null) {
      setText(this.empty, problem === null ? waiting() : words);
    }
    this.banner.classList.toggle('aml-mod-bad', problem !== null);
    setText(this.banner, words);
    setShown(this.banner, words !== '' && !this.box.hidden);
  }

  private end(): void {
    this.ending.abort();
    this.session?.close();
    this.model?.dispose();
  }
}
