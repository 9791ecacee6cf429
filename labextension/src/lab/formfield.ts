import type { TranslationBundle } from '@jupyterlab/translation';

import type { FormField, FormProblem } from '../api';
import { element } from '../dom';

/** What is in each field, by its name. */
export type Texts = Readonly<Record<string, string[]>>;

const ON = 'on';

/** One field of a form: its label, what is typed, what it means and what is wrong with it. */
export class FieldView {
  readonly node: HTMLElement;
  private readonly inputs = element('div', { class: 'aml-Field-inputs' });
  private readonly problem: HTMLElement;
  private readonly id: string;
  private counted = 0;

  constructor(
    form: string,
    readonly field: FormField,
    values: readonly string[],
    private readonly trans: TranslationBundle
  ) {
    this.id = `${form}-${field.name.replace(/\W/g, '-')}`;
    this.problem = element('p', { class: 'aml-Field-problem', id: `${this.id}-problem` });
    this.problem.setAttribute('aria-live', 'polite');
    this.node = this.drawn(values);
    this.node.classList.toggle('aml-mod-filled', values.length > 0);
  }

  /** What is typed, without what is empty. */
  texts(): string[] {
    const inputs = [...this.inputs.querySelectorAll('input')];
    return this.field.kind === 'switch'
      ? inputs.filter(input => input.checked).map(() => ON)
      : inputs.map(input => input.value.trim()).filter(text => text !== '');
  }

  focus(): void {
    this.inputs.querySelector<HTMLElement>('input, button')?.focus();
  }

  /** Say what is wrong, or that nothing is. */
  complain(problems: readonly FormProblem[]): void {
    const words = problems.map(({ message, hint }) => `${message} ${hint}`.trim()).join(' ');
    if (this.problem.textContent !== words) {
      this.problem.textContent = words;
    }
    for (const input of this.inputs.querySelectorAll('input')) {
      input.setAttribute('aria-invalid', String(words !== ''));
    }
    this.node.classList.toggle('aml-mod-wrong', words !== '');
  }

  private drawn(values: readonly string[]): HTMLElement {
    const { field, id, trans } = this;
    const help = element('p', { class: 'aml-Field-help', id: `${id}-help` }, sentence(field.help));
    if (field.kind === 'switch') {
      const box = this.input(0);
      box.type = 'checkbox';
      box.checked = values.length > 0;
      this.inputs.append(element('label', {}, box, ` ${trans.__(field.label)}`));
      return element('div', { class: 'aml-Field' }, this.inputs, help, this.problem);
    }
    const label = element('label', { for: `${id}-0`, id: `${id}-label` }, trans.__(field.label));
    const parts: Node[] = [label, this.inputs, help, this.problem];
    if (field.choices.length > 0) {
      const options = field.choices.map(value => element('option', { value }));
      parts.push(element('datalist', { id: `${id}-choices` }, ...options));
    }
    if (field.kind === 'list') {
      this.drawList(values);
    } else {
      this.inputs.append(this.text(values[0] ?? ''));
    }
    return element('div', { class: 'aml-Field' }, ...parts);
  }

  private drawList(values: readonly string[]): void {
    const { trans, field } = this;
    const add = element(
      'button',
      { type: 'button', class: 'aml-Field-add' },
      trans.__('Add another')
    );
    add.setAttribute('aria-label', trans.__('Add another: %1', trans.__(field.label)));
    const append = (value: string): HTMLInputElement => {
      const input = this.text(value);
      const remove = element('button', { type: 'button', class: 'aml-Field-remove' }, '×');
      remove.setAttribute('aria-label', trans.__('Remove: %1', trans.__(field.label)));
      const row = element('div', { class: 'aml-Field-row' }, input, remove);
      remove.addEventListener('click', () => this.removeRow(row, input));
      this.inputs.insertBefore(row, add);
      return input;
    };
    this.inputs.append(add);
    (values.length > 0 ? values : ['']).forEach(append);
    add.addEventListener('click', () => append('').focus());
  }

  /** The last row is emptied: there is always one to write in. */
  private removeRow(row: HTMLElement, input: HTMLInputElement): void {
    const rows = [...this.inputs.querySelectorAll('.aml-Field-row')];
    if (rows.length > 1) {
      const at = rows.indexOf(row);
      row.remove();
      rows[at === 0 ? 1 : at - 1]!.querySelector('input')!.focus();
    } else {
      input.value = '';
      input.focus();
    }
    this.inputs.dispatchEvent(new Event('input', { bubbles: true }));
  }

  private text(value: string): HTMLInputElement {
    const { field, id } = this;
    const input = this.input(this.counted++);
    input.type = 'text';
    input.value = value;
    input.spellcheck = false;
    // What to write is shown where a word such as N would tell less than the help does.
    input.placeholder = field.usual || (/[=…]/.test(field.wants) ? field.wants : '');
    if (field.choices.length > 0) {
      input.setAttribute('list', `${id}-choices`);
    }
    if (field.kind === 'list') {
      input.setAttribute('aria-labelledby', `${id}-label`);
    }
    return input;
  }

  private input(number: number): HTMLInputElement {
    const { id } = this;
    const described = `${id}-help ${id}-problem`;
    return element('input', { id: `${id}-${number}`, 'aria-describedby': described });
  }
}

function sentence(help: string): string {
  const plain = help.replace(/`/g, '');
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}
