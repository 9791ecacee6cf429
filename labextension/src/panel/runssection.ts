import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import type { FilterWords, RunRow } from '../api';
import { element } from '../dom';
import { count } from '../format';
import type { IRunChoices } from '../lab/settings';
import { Commands, ServerError, type IRunService, type ISectionHost } from '../tokens';
import { USUAL, type Asking } from './asking';
import { FilterLine } from './filterline';
import type { Memory } from './memory';
import { argumentsFor, entriesFor, openMenu } from './menu';
import { Notice } from './notice';
import { ListOptions } from './options';
import { RunList } from './runlist';
import { RunModel } from './runmodel';

/** What the list remembers. */
export interface KeptOfList {
  asking: Asking;
  /** Groups that were opened or closed by hand, the last ones last. */
  opened: readonly (readonly [string, boolean])[];
}

const GROUPS_KEPT = 200;

/** Milliseconds for which the words of the filter are good. */
const WORDS_KEPT = 30_000;
/** Milliseconds after which the server is asked again while there is no workspace, or a problem. */
const LOOK = 3000;

/** What is asked to begin with: as the user has chosen in the settings. */
function chosen(choices: IRunChoices | null): Asking {
  if (choices === null) {
    return USUAL;
  }
  const { groupBy, sortBy: sort } = choices.now;
  return { ...USUAL, by: groupBy === 'none' ? '' : groupBy, sort, descending: sort !== 'name' };
}

/** The list of runs, with what is asked above it and what is picked below it. */
export class RunsSection extends Widget {
  private readonly model: RunModel;
  private readonly list: RunList;
  private readonly filter: FilterLine;
  private readonly options: ListOptions;
  private readonly notice: Notice;
  private readonly picked = element('div', { class: 'aml-Picked', role: 'toolbar' });
  private readonly said = element('div', { class: 'aml-Said', role: 'status', 'aria-live': 'polite' });
  private asking: Asking = USUAL;
  private watching: IDisposable | null = null;
  private place = '';
  private words: Promise<FilterWords> | null = null;
  private wordsAsked = 0;
  private timer = 0;
  /** Whether it is known what was asked before. */
  private isReady = false;

  constructor(
    private readonly host: ISectionHost,
    private readonly service: IRunService,
    private readonly memory: Memory<KeptOfList>,
    private readonly choices: IRunChoices | null,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('aml-Runs');
    this.model = new RunModel(service, {
      get: key => new Map(memory.get('opened', [])).get(key),
      set: (key, open) => {
        const others = memory.get('opened', []).filter(([each]) => each !== key);
        memory.set('opened', [...others, [key, open] as const].slice(-GROUPS_KEPT));
      }
    });
    this.filter = new FilterLine(
      trans,
      () => this.askWords(),
      filter => this.ask({ filter })
    );
    this.options = new ListOptions(trans, this.asking, asking => this.ask(asking));
    this.notice = new Notice(trans, () => this.filter.setLine(''));
    this.list = new RunList(
      this.model,
      {
        open: run => this.run(Commands.open, [run]),
        remove: () => this.run(Commands.delete, this.endedOnly()),
        menu: (x, y) => openMenu(commands, this.place, this.rows(), x, y),
        selected: () => this.showPicked()
      },
      trans
    );
    this.picked.setAttribute('aria-label', trans.__('Selected runs'));
    this.node.append(
      this.filter.node,
      this.options.node,
      this.notice.node,
      this.list.node,
      this.picked,
      this.said
    );
    this.showPicked();
    this.listen();
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.unwatch();
      this.list.dispose();
      this.model.dispose();
      this.service.placesChanged.disconnect(this.follow, this);
      this.service.problemFound.disconnect(this.follow, this);
      this.service.live.connectedChanged.disconnect(this.connected, this);
      super.dispose();
    }
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.filter.input.focus();
  }

  private listen(): void {
    const { host, service, model } = this;
    host.shownChanged.connect(() => this.follow());
    host.refreshAsked.connect(() => this.refresh());
    service.placesChanged.connect(this.follow, this);
    service.problemFound.connect(this.follow, this);
    service.live.connectedChanged.connect(this.connected, this);
    model.changed.connect((_, change) => {
      if (change === 'list') {
        this.showState();
      }
    });
    void Promise.all([this.memory.ready, this.choices?.ready]).then(() => {
      this.isReady = true;
      this.asking = { ...USUAL, ...this.memory.get('asking', chosen(this.choices)) };
      this.filter.restore(this.asking.filter);
      this.options.show(this.asking);
      this.follow();
    });
  }

  // Asking ------------------------------------------------------------------------------------

  /** Show the workspace that is looked at, as long as the section is on screen. */
  private follow(): void {
    const { host, service } = this;
    if (!this.isReady) {
      // Else what is asked to begin with would be kept in place of what was asked before.
      return;
    }
    this.list.setShown(host.isShown);
    window.clearTimeout(this.timer);
    if (!host.isShown) {
      this.unwatch();
      return;
    }
    const place = service.place?.key ?? '';
    if (place === '') {
      this.unwatch();
      this.place = '';
      this.model.forget();
      this.greet();
    } else if (place !== this.place) {
      this.unwatch();
      this.place = place;
      this.words = null;
      this.list.selection.clear();
      this.list.toTop();
      this.watch();
      this.ask({});
    } else if (this.watching === null) {
      // What has changed while it was out of sight is told now.
      this.watch();
    }
    if (service.problem !== null) {
      this.lookLater();
    }
    this.showState();
  }

  /** Find out whether there is a workspace, and whether there is a server's half at all. */
  private greet(): void {
    void this.service.hello
      .then(
        () => undefined,
        (error: unknown) => (error instanceof ServerError ? error : undefined)
      )
      .then(error => {
        this.notice.greeted(error);
        this.showState();
      });
    this.lookLater();
  }

  /** The user may have mended what is missing. */
  private lookLater(): void {
    window.clearTimeout(this.timer);
    if (this.host.isShown) {
      this.timer = window.setTimeout(() => {
        void this.service.lookAgain().then(
          () => this.follow(),
          () => this.follow()
        );
      }, LOOK);
    }
  }

  private watch(): void {
    this.watching = this.service.live.watch(this.place, 'rows', {
      changed: (rows, gone, seq) => {
        this.model.hear(rows, gone, seq);
        this.list.selection.drop(gone);
      },
      behind: () => void this.model.refresh(),
      ended: rows => this.sayEnded(rows)
    });
  }

  private unwatch(): void {
    this.watching?.dispose();
    this.watching = null;
  }

  private ask(change: Partial<Asking>): void {
    this.asking = { ...this.asking, ...change };
    this.memory.set('asking', this.asking);
    this.options.show(this.asking);
    if (this.place === '') {
      return;
    }
    if (Object.keys(change).length > 0) {
      this.list.toTop();
    }
    void this.model.ask(this.place, this.asking);
    void this.askWords().then(({ metrics }) => this.options.setMetrics(metrics));
  }

  private refresh(): void {
    this.words = null;
    if (this.place !== '') {
      void this.model.refresh();
      void this.askWords().then(({ metrics }) => this.options.setMetrics(metrics));
    }
  }

  private connected(): void {
    this.showState();
    if (this.service.live.connected && this.model.problem !== null && this.host.isShown) {
      void this.model.refresh();
    }
  }

  private askWords(): Promise<FilterWords> {
    const now = performance.now();
    if (this.words === null || now - this.wordsAsked > WORDS_KEPT) {
      this.wordsAsked = now;
      const { place } = this;
      const words = this.service.get<FilterWords>('words', { place });
      words.catch(() => (this.words = null));
      this.words = words;
    }
    return this.words;
  }

  // Showing -----------------------------------------------------------------------------------

  private showState(): void {
    const { model, asking, trans } = this;
    const problem = this.service.problem ?? model.problem;
    const isFiltered = asking.filter.trim() !== '';
    const isWrong = problem?.status === 400 && isFiltered;
    this.filter.setProblem(isWrong ? `${problem.message} ${problem.problem.hint}` : '');
    this.notice.show({
      hasPlace: this.place !== '',
      problem: isWrong ? null : problem,
      isEmpty: model.isLoaded && model.total === 0,
      isFiltered,
      isConnected: this.service.live.connected
    });
    const hasList = this.place !== '' && model.total > 0;
    this.list.node.hidden = !hasList;
    this.filter.node.hidden = this.place === '';
    this.options.node.hidden = this.filter.node.hidden;
    this.host.setNote(hasList ? count(model.total) : '');
    if (model.isLoaded && isFiltered && !isWrong) {
      this.say(trans._n('%1 run matches', '%1 runs match', model.total));
    }
  }

  private say(text: string): void {
    if (this.said.textContent !== text) {
      this.said.textContent = text;
    }
  }

  private sayEnded(rows: readonly RunRow[]): void {
    const { trans } = this;
    const [row] = rows;
    if (row !== undefined) {
      this.say(
        rows.length > 1
          ? trans._n('%1 run has ended', '%1 runs have ended', rows.length)
          : trans.__('%1: %2', row.name, row.status)
      );
    }
  }

  // What is picked ----------------------------------------------------------------------------

  private rows(): RunRow[] {
    return this.list.selection.ids.flatMap(id => this.model.row(id) ?? []);
  }

  private endedOnly(): string[] {
    const rows = this.rows();
    return entriesFor(rows).includes(Commands.delete) ? rows.map(row => row.id) : [];
  }

  private run(command: string, runs: readonly string[]): void {
    if (runs.length > 0 && this.commands.hasCommand(command)) {
      void this.commands.execute(command, argumentsFor(this.place, runs));
    }
  }

  /** With several runs picked, what can be done with all of them stands below the list. */
  private showPicked(): void {
    const { trans } = this;
    const runs = this.list?.selection.ids ?? [];
    this.picked.hidden = runs.length < 2;
    if (runs.length < 2) {
      this.picked.replaceChildren();
      return;
    }
    const fitting = entriesFor(this.rows());
    const words: readonly [string, string][] = [
      [Commands.compare, trans.__('Compare')],
      [Commands.cancel, trans.__('Cancel')],
      [Commands.archive, trans.__('Archive')],
      [Commands.restore, trans.__('Restore')],
      [Commands.delete, trans.__('Delete')]
    ];
    const buttons = words
      .filter(([command]) => fitting.includes(command))
      .map(([command, text]) => this.pickedButton(text, () => this.run(command, runs)));
    const clear = this.pickedButton('×', () => this.list.selection.clear());
    clear.setAttribute('aria-label', trans.__('Select nothing'));
    const text = trans._n('%1 selected', '%1 selected', runs.length);
    this.picked.replaceChildren(clear, element('span', {}, text), ...buttons);
  }

  private pickedButton(text: string, work: () => void): HTMLButtonElement {
    const button = element('button', { type: 'button' }, text);
    button.onclick = work;
    return button;
  }
}
