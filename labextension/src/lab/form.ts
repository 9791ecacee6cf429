import type { TranslationBundle } from '@jupyterlab/translation';

import type { Form, FormAnswer, FormField, FormProblem } from '../api';
import { element } from '../dom';
import { addStyles } from '../styles';
import { FieldView, type Texts } from './formfield';
import { wordsOf } from './told';
import form from '../../style/form.raw.css';

addStyles({ form });

/** Milliseconds without a key before what is written is checked. */
const PAUSE = 400;
const GROUPS: readonly FormField['group'][] = ['parameters', 'run', 'resources', 'batch', 'more'];
const OPEN: ReadonlySet<string> = new Set(['parameters', 'run']);

/** What a form asks of the server, and remembers. */
export interface FormOwner {
  send(what: 'check' | 'plan' | 'submit', values: Texts): Promise<FormAnswer>;
  remember(values: Texts): void;
}

let made = 0;

/** A form in a window of its own; `open` is settled when it was submitted or given up. */
export class FormDialog {
  private readonly id = `aml-form-${++made}`;
  private readonly fields: readonly FieldView[];
  private readonly alert = element('div', { class: 'aml-Form-alert', role: 'alert' });
  private readonly plan = element('pre', {
    class: 'aml-Form-plan',
    tabindex: '0',
    role: 'region',
    'aria-live': 'polite'
  });
  private readonly submit: HTMLButtonElement;
  private readonly preview: HTMLButtonElement;
  private readonly window: HTMLDialogElement;
  private readonly touched = new Set<string>();
  private timer = 0;
  /** Counts questions: an answer that was overtaken is not shown. */
  private turn = 0;
  private done: (answer: FormAnswer | null) => void = () => undefined;

  constructor(
    form: Form,
    title: string,
    remembered: Texts,
    private readonly owner: FormOwner,
    private readonly trans: TranslationBundle
  ) {
    this.fields = form.fields.map(
      field => new FieldView(this.id, field, remembered[field.name] ?? field.values, trans)
    );
    this.plan.setAttribute('aria-label', trans.__('What would be done'));
    this.plan.hidden = true;
    this.submit = element(
      'button',
      { type: 'submit', class: 'jp-Dialog-button jp-mod-accept jp-mod-styled' },
      trans.__('Submit')
    );
    this.preview = element(
      'button',
      { type: 'button', class: 'jp-Dialog-button jp-mod-styled' },
      trans.__('Preview')
    );
    this.preview.title = trans.__('Show what would be done, and do nothing');
    this.window = this.drawn(title, form.fields);
    this.listen();
  }

  /** Show the form; the answer to what was submitted, or `null`. */
  open(): Promise<FormAnswer | null> {
    document.body.append(this.window);
    this.window.showModal();
    this.fields[0]?.focus();
    return new Promise(resolve => (this.done = resolve));
  }

  private drawn(title: string, fields: readonly FormField[]): HTMLDialogElement {
    const { trans, id } = this;
    const there = GROUPS.filter(group => fields.some(field => field.group === group));
    const groups = there.map(group => {
      const rows = this.fields.filter(view => view.field.group === group).map(view => view.node);
      const words = groupTitle(group, trans);
      const isOpen = OPEN.has(group) || rows.some(row => row.classList.contains('aml-mod-filled'));
      return OPEN.has(group)
        ? element('fieldset', {}, element('legend', {}, words), ...rows)
        : element('details', isOpen ? { open: '' } : {}, element('summary', {}, words), ...rows);
    });
    const cancel = element(
      'button',
      { type: 'button', class: 'jp-Dialog-button jp-mod-reject jp-mod-styled' },
      trans.__('Cancel')
    );
    cancel.addEventListener('click', () => this.end(null));
    const form = element(
      'form',
      { novalidate: '', autocomplete: 'off' },
      element('h2', { id: `${id}-title` }, title),
      element('div', { class: 'aml-Form-fields' }, ...groups),
      this.alert,
      this.plan,
      element('div', { class: 'aml-Form-buttons' }, this.preview, cancel, this.submit)
    );
    return element('dialog', { class: 'aml-Form', 'aria-labelledby': `${id}-title` }, form);
  }

  private listen(): void {
    this.window.addEventListener('input', event => {
      const view = this.fields.find(({ node }) => node.contains(event.target as Node));
      if (view !== undefined) {
        this.touched.add(view.field.name);
      }
      this.plan.hidden = true;
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.check(), PAUSE);
    });
    this.window.addEventListener('cancel', event => {
      event.preventDefault();
      this.end(null);
    });
    // Keys are the form's alone: nothing behind it must hear them.
    this.window.addEventListener('keydown', event => event.stopPropagation());
    this.window.querySelector('form')!.addEventListener('submit', event => {
      event.preventDefault();
      void this.ask('submit', this.submit);
    });
    this.preview.addEventListener('click', () => void this.ask('plan', this.preview));
  }

  private async check(): Promise<void> {
    const turn = ++this.turn;
    try {
      const { problems } = await this.owner.send('check', this.values());
      if (turn === this.turn) {
        this.show(problems.filter(({ field }) => field === '' || this.touched.has(field)));
      }
    } catch {
      // What stands in the way is told when something is to be done.
    }
  }

  private async ask(what: 'plan' | 'submit', button: HTMLButtonElement): Promise<void> {
    if (this.submit.disabled) {
      return;
    }
    window.clearTimeout(this.timer);
    this.turn++;
    const values = this.values();
    this.busy(button, true);
    let answer: FormAnswer | null = null;
    try {
      answer = await this.owner.send(what, values);
    } catch (error) {
      this.show([{ field: '', message: wordsOf(error), hint: '' }]);
    }
    this.busy(button, false);
    if (answer === null) {
      return;
    }
    this.show(answer.problems);
    if (answer.problems.length > 0) {
      this.focusOn(answer.problems[0]!);
    } else if (what === 'plan') {
      this.plan.textContent = answer.plan;
      this.plan.hidden = false;
      this.plan.scrollIntoView({ block: 'nearest' });
    } else {
      this.owner.remember(values);
      this.end(answer);
    }
  }

  private busy(button: HTMLButtonElement, is: boolean): void {
    for (const each of [this.submit, this.preview]) {
      each.disabled = is;
    }
    button.setAttribute('aria-busy', String(is));
    button.classList.toggle('aml-mod-busy', is);
  }

  /** Each problem at its field; those of no field above the buttons. */
  private show(problems: readonly FormProblem[]): void {
    for (const view of this.fields) {
      view.complain(problems.filter(({ field }) => field === view.field.name));
    }
    const known = new Set(this.fields.map(({ field }) => field.name));
    const rest = problems.filter(({ field }) => !known.has(field));
    this.alert.replaceChildren(
      ...rest.map(({ message, hint }) => element('p', {}, `${message} ${hint}`.trim()))
    );
    this.plan.hidden ||= problems.length > 0;
  }

  private focusOn({ field }: FormProblem): void {
    const view = this.fields.find(each => each.field.name === field);
    const group = view?.node.closest('details');
    if (group) {
      group.open = true;
    }
    view?.focus();
  }

  private values(): Texts {
    const filled = this.fields.map(view => [view.field.name, view.texts()] as const);
    return Object.fromEntries(filled);
  }

  private end(answer: FormAnswer | null): void {
    window.clearTimeout(this.timer);
    this.turn++;
    this.window.close();
    this.window.remove();
    this.done(answer);
  }
}

function groupTitle(group: FormField['group'], trans: TranslationBundle): string {
  return {
    parameters: trans.__('Parameters'),
    run: trans.__('Run'),
    resources: trans.__('Resources and limits'),
    batch: trans.__('Batch'),
    more: trans.__('More')
  }[group];
}
