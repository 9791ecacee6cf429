import type { SourceDiff } from '../api';
import { DiffView } from '../diff';
import { element } from '../dom';
import { ServerError, pathOf } from '../tokens';
import { choice, fillChoice } from '../view/controls';
import type { CompareModel } from './model';

/** How the source and the environment of one run differ from those of another, side by side. */
export class Sources {
  readonly node = element('div', { class: 'aml-Compare-sources' });
  private readonly base: HTMLSelectElement;
  private readonly run: HTMLSelectElement;
  private readonly status = element('p', { class: 'aml-Compare-note', role: 'status' });
  private readonly source: DiffView;
  private readonly environment: DiffView;
  private readonly environmentBox: HTMLElement;
  private isOpen = false;
  private asked = '';

  constructor(private readonly model: CompareModel) {
    const { trans } = model;
    this.base = choice(trans.__('Before'), [], () => void this.ask());
    this.run = choice(trans.__('After'), [], () => void this.ask());
    this.source = new DiffView(trans);
    this.environment = new DiffView(trans, false);
    const title = element('h3', {}, trans.__('Environment'));
    this.environmentBox = element('div', {}, title, this.environment.node);
    const bar = element(
      'div',
      { class: 'aml-Compare-bar' },
      element('span', {}, trans.__('From')),
      this.base,
      element('span', {}, trans.__('to')),
      this.run
    );
    this.node.append(bar, this.status, this.source.node, this.environmentBox);
  }

  /** It is on screen; what it shows is asked for only then. */
  open(isOpen: boolean): void {
    this.isOpen = isOpen;
    if (isOpen) {
      this.update();
    }
  }

  /** Runs have come or gone, or another one is the baseline. */
  update(): void {
    const runs = this.model.found?.runs ?? [];
    if (!this.isOpen) {
      return;
    }
    const options = runs.map(({ id, name }) => [id, name] as const);
    fillChoice(this.base, options);
    fillChoice(this.run, options);
    const { baseline } = this.model.choices;
    if (baseline !== '' && baseline !== this.node.dataset.baseline) {
      this.base.value = baseline;
    }
    this.node.dataset.baseline = baseline;
    if (this.run.value === this.base.value) {
      this.run.value = runs.find(run => run.id !== this.base.value)?.id ?? '';
    }
    void this.ask();
  }

  private async ask(): Promise<void> {
    const { trans, service, choices } = this.model;
    const [base, run] = [this.base.value, this.run.value];
    const asked = `${base} ${run}`;
    if (asked === this.asked) {
      return;
    }
    this.asked = asked;
    this.showNothing(base === run ? trans.__('Choose two different runs.') : trans.__('Comparing…'));
    if (base === run || run === '') {
      return;
    }
    try {
      const found = await service.get<SourceDiff>(pathOf('diff', choices.place, run), { with: base });
      if (asked === this.asked) {
        this.show(found);
      }
    } catch (error) {
      if (asked === this.asked) {
        this.asked = '';
        const problem = error instanceof ServerError ? error.problem : { message: String(error), hint: '' };
        this.showNothing(`${problem.message} ${problem.hint}`);
      }
    }
  }

  private showNothing(why: string): void {
    this.status.textContent = why;
    this.source.node.hidden = this.environmentBox.hidden = true;
  }

  private show({ files, more, environment }: SourceDiff): void {
    const { trans } = this.model;
    const isSame = files.length === 0 && more === 0;
    const said = [
      isSame ? trans.__('The sources are the same.') : '',
      environment === '' ? trans.__('The environments are the same.') : ''
    ];
    this.status.textContent = said.filter(text => text !== '').join(' ');
    this.source.node.hidden = isSame;
    this.source.show({ files, more });
    this.environmentBox.hidden = environment === '';
    const path = trans.__('environment');
    this.environment.show({ files: [{ path, change: 'changed', text: environment, note: '' }], more: 0 });
  }
}
