import type { TranslationBundle } from '@jupyterlab/translation';

import { element } from '../dom';
import { METRIC, type Asking, type By } from './asking';

/** Orders that begin with the largest: the newest, the longest, the best in many cases. */
const DESCENDING = ['live', 'created', 'duration'];

/** Choices of how runs are grouped and sorted, and of a metric that rows show always. */
export class ListOptions {
  readonly node: HTMLElement;
  private readonly by: HTMLSelectElement;
  private readonly sort: HTMLSelectElement;
  private readonly direction: HTMLButtonElement;
  private readonly star: HTMLButtonElement;
  private metrics: readonly string[] = [];

  constructor(
    private readonly trans: TranslationBundle,
    private asking: Asking,
    changed: (asking: Partial<Asking>) => void
  ) {
    this.by = element('select', { 'aria-label': trans.__('Group by') });
    this.sort = element('select', { 'aria-label': trans.__('Sort by') });
    this.direction = element('button', { class: 'aml-Tool', type: 'button' });
    this.star = element('button', { class: 'aml-Tool', type: 'button' });
    this.by.onchange = () => changed({ by: this.by.value as By });
    this.sort.onchange = () => {
      const sort = this.sort.value;
      changed({ sort, descending: DESCENDING.includes(sort) });
    };
    this.direction.onclick = () => changed({ descending: !this.asking.descending });
    this.star.onclick = () => changed({ star: this.starred ? '' : this.metric });
    this.node = element('div', { class: 'aml-Options' }, this.by, this.sort, this.direction, this.star);
    this.show(asking);
  }

  /** Show what is asked. */
  show(asking: Asking): void {
    const { trans } = this;
    this.asking = asking;
    this.fill(this.by, asking.by, [
      ['', trans.__('No groups')],
      ['experiment', trans.__('Experiment')],
      ['notebook', trans.__('Notebook')],
      ['sweep', trans.__('Sweep')]
    ]);
    this.showSort();
    const down = asking.descending;
    // As the arrow points, values become; for names and metrics from the smallest to the largest.
    this.direction.textContent = down ? '↓' : '↑';
    label(this.direction, down ? trans.__('Descending order') : trans.__('Ascending order'));
    this.star.hidden = this.metric === '';
    this.star.textContent = this.starred ? '★' : '☆';
    this.star.setAttribute('aria-pressed', String(this.starred));
    label(this.star, trans.__('Always show %1', this.metric));
  }

  /** Offer these metrics to sort by. */
  setMetrics(metrics: readonly string[]): void {
    this.metrics = metrics;
    this.showSort();
  }

  private get metric(): string {
    const { sort, star } = this.asking;
    return sort.startsWith(METRIC) ? sort.slice(METRIC.length) : star;
  }

  private get starred(): boolean {
    return this.metric !== '' && this.metric === this.asking.star;
  }

  private showSort(): void {
    const { trans } = this;
    const { sort } = this.asking;
    const names = new Set(this.metrics);
    if (sort.startsWith(METRIC)) {
      names.add(sort.slice(METRIC.length));
    }
    this.fill(this.sort, sort, [
      ['live', trans.__('Running first')],
      ['created', trans.__('Newest')],
      ['name', trans.__('Name')],
      ['status', trans.__('State')],
      ['duration', trans.__('Duration')],
      ...[...names].map((name): [string, string] => [METRIC + name, name])
    ]);
  }

  private fill(
    select: HTMLSelectElement,
    value: string,
    choices: readonly (readonly [string, string])[]
  ): void {
    const text = JSON.stringify(choices);
    if (select.dataset.choices !== text) {
      select.dataset.choices = text;
      const plain = choices.filter(([name]) => !name.startsWith(METRIC));
      const metrics = choices.filter(([name]) => name.startsWith(METRIC));
      const group = element('optgroup', { label: this.trans.__('Metrics') }, ...optionsOf(metrics));
      select.replaceChildren(...optionsOf(plain), ...(metrics.length > 0 ? [group] : []));
    }
    select.value = value;
    const chosen = select.selectedOptions[0]?.textContent ?? '';
    select.title = `${select.ariaLabel ?? ''}: ${chosen}`;
  }
}

function optionsOf(choices: readonly (readonly [string, string])[]): HTMLElement[] {
  return choices.map(([value, text]) => element('option', { value }, text));
}

function label(button: HTMLButtonElement, text: string): void {
  button.title = text;
  button.setAttribute('aria-label', text);
}
