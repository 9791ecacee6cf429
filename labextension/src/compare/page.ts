import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { element } from '../dom';
import { count } from '../format';
import { compareLine } from '../magics';
import { choice, copyText, fillChoice, searchField, setPressed, setShown, toggle } from '../view/controls';
import { Charts } from './charts';
import { asCsv, asMarkdown, type Shown } from './facts';
import { MOST_DRAWN, type CompareModel } from './model';
import { pickRuns } from './picker';
import { Relations } from './relations';
import { Section } from './section';
import { Sources } from './sources';
import { CompareTable } from './table';

/** What the page asks of JupyterLab. */
export interface PageOwner {
  open(run: string): void;
  /** Show runs in the notebook that was used last. */
  insert(runs: readonly string[]): void;
}

/** Runs against each other: what differs, their charts, how values hang together, their sources. */
export class ComparePage extends Widget {
  private readonly trans: TranslationBundle;
  private readonly heading = element('h1', {});
  private readonly status = element('p', { class: 'aml-Compare-note', role: 'status', 'aria-live': 'polite' });
  private readonly problem = element('p', { class: 'aml-Compare-problem', role: 'alert' });
  private readonly aside = element('div', { class: 'aml-Compare-hidden' });
  private readonly inserting: HTMLButtonElement;
  private readonly sections: Section[] = [];
  private readonly content = element('div', { class: 'aml-Compare-content', hidden: '' });
  private readonly table: CompareTable;
  private readonly charts: Charts;
  private readonly relations: Relations;
  private readonly sources: Sources;
  private readonly all: HTMLButtonElement;
  private readonly seeds: HTMLButtonElement;
  private readonly turned: HTMLButtonElement;
  private readonly shown: HTMLSelectElement;
  private frame = 0;
  private drawnFor = '';

  constructor(
    readonly model: CompareModel,
    private readonly owner: PageOwner
  ) {
    super();
    const { trans } = model;
    this.trans = trans;
    this.inserting = this.button(trans.__('Insert in notebook'), () => this.insertMagic());
    this.inserting.title = trans.__('Insert a cell that shows these runs into the notebook used last');
    this.setInsertable(false);
    this.addClass('aml-Compare');
    this.table = new CompareTable(model, {
      open: run => owner.open(run),
      say: text => this.say(text),
      colourOf: run => this.charts.colourOf(run)
    });
    this.charts = new Charts(model, () => {
      this.table.colour();
      this.relations.update();
    });
    this.relations = new Relations(model, {
      open: run => owner.open(run),
      colourOf: run => this.charts.colourOf(run)
    });
    this.all = toggle(trans.__('All'), all => model.choose({ all }));
    this.all.title = trans.__('Show what is the same in all runs as well');
    this.seeds = toggle(trans.__('Mean over seeds'), seeds => model.choose({ seeds }));
    this.seeds.title = trans.__('Put runs together that differ in their seed alone: mean ± standard deviation');
    this.turned = toggle(trans.__('Runs side by side'), turned => model.choose({ turned }));
    this.shown = choice(trans.__('Value of metrics'), this.shownOptions(), shown => model.choose({ shown }));
    this.sources = new Sources(model);
    this.addSection('table', trans.__('What differs'), this.tableBar(), this.aside, this.table.node);
    this.addSection('charts', trans.__('Charts'), this.charts.node);
    this.addSection('relations', trans.__('How values hang together'), this.relations.node);
    this.addSection('sources', trans.__('Source and environment'), this.sources.node);
    // The live view's controls are styled inside of its panel.
    const parts = [this.head(), this.problem, this.status, this.content];
    this.node.append(element('div', { class: 'aml-v-panel' }, ...parts));
    model.stateChanged.connect(() => this.drawLater());
    this.drawLater();
  }

  /** Say whether there is a notebook that runs can be shown in. */
  setInsertable(can: boolean): void {
    setShown(this.inserting, can);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      cancelAnimationFrame(this.frame);
      this.charts.dispose();
      this.relations.dispose();
      this.model.dispose();
      super.dispose();
    }
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.setVisible(this.isVisible);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.setVisible(true);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.setVisible(false);
  }

  protected override onBeforeDetach(message: Message): void {
    this.setVisible(false);
    super.onBeforeDetach(message);
  }

  protected override onActivateRequest(): void {
    this.node.querySelector<HTMLElement>('button')?.focus({ preventScroll: true });
  }

  private setVisible(visible: boolean): void {
    this.model.setVisible(visible);
    this.openSections(visible);
  }

  private openSections(visible: boolean): void {
    const found = this.model.found !== undefined;
    const isOpen = (id: string): boolean =>
      visible && found && (this.sections.find(section => section.id === id)?.isOpen ?? false);
    this.charts.open(isOpen('charts'));
    this.relations.open(isOpen('relations'));
    this.sources.open(isOpen('sources'));
  }

  // Parts

  private head(): HTMLElement {
    const { trans } = this;
    const add = this.button(trans.__('Add runs…'), () => void this.add());
    const magic = this.button(trans.__('Copy as %aml_compare'), () => void this.copyMagic());
    magic.title = trans.__('Copy a line that shows these runs in a notebook');
    const bar = element('div', { class: 'aml-Compare-bar' }, add, this.inserting, magic);
    return element('header', { class: 'aml-Compare-top' }, this.heading, bar);
  }

  private tableBar(): HTMLElement {
    const { trans } = this;
    const filter = searchField(trans.__('Filter rows'), text => this.table.setFilter(text));
    const csv = this.button(trans.__('Copy CSV'), () => void this.copyTable('csv'));
    const markdown = this.button(trans.__('Copy Markdown'), () => void this.copyTable('markdown'));
    const label = element('label', { class: 'aml-Compare-label' }, trans.__('Metrics'), this.shown);
    const words = { class: 'aml-Compare-bar', role: 'group', 'aria-label': trans.__('Table') };
    const spring = element('span', { class: 'aml-Compare-spring' });
    return element(
      'div',
      words,
      ...[filter, this.all, this.turned, this.seeds, label, spring, csv, markdown]
    );
  }

  private addSection(id: string, title: string, ...content: HTMLElement[]): void {
    const isOpen = !this.model.choices.folded.includes(id);
    const section = new Section(id, title, isOpen, () => {
      const folded = this.sections.filter(each => !each.isOpen).map(each => each.id);
      this.model.choose({ folded });
      this.openSections(this.isVisible);
    });
    section.body.append(...content);
    this.sections.push(section);
    this.content.append(section.node);
  }

  private button(words: string, onClick: () => void): HTMLButtonElement {
    const made = element('button', { type: 'button', class: 'aml-v-button' }, words);
    made.addEventListener('click', onClick);
    return made;
  }

  private shownOptions(): readonly (readonly [Shown, string])[] {
    const { trans } = this;
    return [
      ['last', trans.__('last values')],
      ['min', trans.__('least values')],
      ['max', trans.__('greatest values')]
    ];
  }

  // Drawing

  private drawLater(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    const { model, trans } = this;
    const { found, problem, choices } = model;
    const runs = found?.runs.length ?? choices.runs.length;
    this.heading.textContent = trans._n('%1 run', '%1 runs compared', runs, count(runs));
    this.title.label = trans.__('Compare %1 runs', count(runs));
    this.problem.textContent = problem === undefined ? '' : `${problem.message} ${problem.hint}`.trim();
    this.node.setAttribute('aria-busy', String(found === undefined && problem === undefined));
    this.status.textContent = this.statusWords();
    const wasEmpty = this.content.hidden;
    this.content.hidden = found === undefined || found.runs.length === 0;
    if (!this.content.hidden) {
      setPressed(this.all, choices.all);
      setPressed(this.seeds, choices.seeds);
      setPressed(this.turned, this.table.isTurned);
      this.seeds.hidden = !model.hasSeeds;
      fillChoice(this.shown, this.shownOptions());
      this.shown.value = choices.shown;
      this.drawHidden();
      this.table.draw();
      this.relations.update();
    }
    if (wasEmpty || this.drawnFor !== this.shownRuns) {
      this.drawnFor = this.shownRuns;
      this.openSections(this.isVisible);
    }
  }

  /** What the parts below the table depend on. */
  private get shownRuns(): string {
    const { found, choices, drawn } = this.model;
    return JSON.stringify([found?.runs.map(run => run.id), choices.baseline, drawn]);
  }

  private statusWords(): string {
    const { trans } = this;
    const { found, problem, choices } = this.model;
    if (found === undefined) {
      return problem === undefined ? trans.__('Reading %1 runs…', count(choices.runs.length)) : '';
    }
    const gone = found.gone.map(({ id, why }) => trans.__('%1 is not shown: %2', id, why));
    const [few, rest] = [gone.slice(0, 3), gone.length - 3];
    const more = rest > 0 ? [trans._n('And %1 more run is not there.', 'And %1 more runs are not there.', rest)] : [];
    const alone =
      found.runs.length === 0
        ? [trans.__('There is nothing to compare: add runs.')]
        : found.runs.length === 1
          ? [trans.__('This run stands alone: add others to see what differs.')]
          : [];
    return [...few, ...more, ...alone].join('\n');
  }

  private drawHidden(): void {
    const { trans, model } = this;
    const { hidden, runs } = model.choices;
    this.aside.replaceChildren();
    if (hidden.length > 0) {
      const words = trans._n('%1 run is hidden.', '%1 runs are hidden.', hidden.length);
      const show = this.button(trans.__('Show again'), () => model.choose({ hidden: [] }));
      const remove = this.button(trans.__('Take off the page'), () =>
        model.choose({ runs: runs.filter(id => !hidden.includes(id)), hidden: [] })
      );
      this.aside.append(element('span', {}, words), show, remove);
    }
  }

  // Doing

  private say(text: string): void {
    this.status.textContent = text;
  }

  private async add(): Promise<void> {
    const { model, trans } = this;
    const { place, runs } = model.choices;
    const picked = await pickRuns(model.service, place, runs, trans);
    if (picked !== undefined && !this.isDisposed) {
      model.choose({ runs: [...runs, ...picked] });
    }
  }

  private insertMagic(): void {
    const { runs, left } = this.magic();
    this.say(left);
    if (runs.length > 0) {
      this.owner.insert(runs);
    }
  }

  private async copyMagic(): Promise<void> {
    const { trans } = this;
    const { runs, left } = this.magic();
    const line = compareLine(runs);
    const copied =
      runs.length === 0
        ? ''
        : (await copyText(line))
          ? trans.__('Copied: paste it into a cell of a notebook.')
          : trans.__('The browser does not allow it. The line is: %1', line);
    this.say(`${copied} ${left}`.trim());
  }

  /** The runs that a line of a notebook can show, and what is to be said of the others. */
  private magic(): { runs: readonly string[]; left: string } {
    const { trans, model } = this;
    const ids = model.columns.flatMap(column =>
      column.runs.flatMap(nth => model.found?.runs[nth]?.id ?? [])
    );
    if (ids.length < 2) {
      return { runs: [], left: trans.__('%aml_compare takes two runs or more.') };
    }
    const more = ids.length - MOST_DRAWN;
    const cut = trans.__('%aml_compare takes %1 runs: the first ones here, without %2 more.', MOST_DRAWN, more);
    return { runs: ids.slice(0, MOST_DRAWN), left: more > 0 ? cut : '' };
  }

  private async copyTable(form: 'csv' | 'markdown'): Promise<void> {
    const { trans, model, table } = this;
    const runs = model.found?.runs ?? [];
    const text =
      form === 'csv'
        ? asCsv(table.facts, model.columns, runs)
        : asMarkdown(table.facts, model.columns);
    this.say((await copyText(text)) ? trans.__('The table is copied.') : trans.__('The browser does not allow copying.'));
  }
}
