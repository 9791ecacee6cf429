import { closeIcon, searchIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { FilterWords } from '../api';
import { element } from '../dom';
import { completions, wordAt, type Completion, type Word } from './completing';

/** Milliseconds without a key after which it is said what is wrong with the line. */
const PATIENCE = 600;
let made = 0;

/** A line in which one writes which runs to see; words are completed from a list below it. */
export class FilterLine {
  readonly node: HTMLElement;
  readonly input: HTMLInputElement;
  private readonly list: HTMLElement;
  private readonly error: HTMLElement;
  private readonly clear: HTMLButtonElement;
  private readonly help: HTMLElement;
  private readonly helpButton: HTMLButtonElement;
  private offered: Completion[] = [];
  private word: Word = { from: 0, to: 0, text: '' };
  private chosen = -1;
  private timer = 0;

  constructor(
    private readonly trans: TranslationBundle,
    private readonly words: () => Promise<FilterWords>,
    private readonly changed: (line: string) => void
  ) {
    const id = `aml-filter-${++made}`;
    this.input = this.makeInput(id);
    this.list = element('ul', {
      class: 'aml-Filter-list',
      id: `${id}-list`,
      role: 'listbox',
      'aria-label': trans.__('Completions')
    });
    this.error = element('div', { class: 'aml-Filter-error', id: `${id}-error`, role: 'status' });
    this.help = this.makeHelp(`${id}-help`);
    this.clear = this.tool(trans.__('Clear the filter'), '');
    closeIcon.element({ container: this.clear });
    this.clear.onclick = () => this.setLine('');
    this.helpButton = this.tool(trans.__('How to filter'), '?');
    this.helpButton.setAttribute('aria-controls', this.help.id);
    this.helpButton.onclick = () => this.showHelp(this.help.hidden);
    const box = element('div', { class: 'aml-Filter-box' });
    searchIcon.element({ container: box, elementPosition: 'center' });
    box.append(this.input, this.clear, this.helpButton);
    this.node = element('div', { class: 'aml-Filter' }, box, this.list, this.help, this.error);
    this.showHelp(false);
    this.close();
    this.showClear();
  }

  get line(): string {
    return this.input.value;
  }

  /** Write a line and search for it. */
  setLine(line: string): void {
    this.input.value = line;
    this.showClear();
    this.close();
    this.changed(line);
    this.input.focus();
  }

  /** Write what was searched for before. */
  restore(line: string): void {
    this.input.value = line;
    this.showClear();
  }

  /** Say what is wrong with the line; not while it is still being typed. */
  setProblem(text: string): void {
    window.clearTimeout(this.timer);
    const show = (): void => {
      this.error.textContent = text;
      this.input.setAttribute('aria-invalid', String(text !== ''));
    };
    if (text === '') {
      show();
    } else {
      this.timer = window.setTimeout(show, PATIENCE);
    }
  }

  private makeInput(id: string): HTMLInputElement {
    const input = element('input', {
      class: 'aml-Filter-input',
      id,
      type: 'text',
      role: 'combobox',
      autocomplete: 'off',
      spellcheck: 'false',
      placeholder: this.trans.__('Filter runs'),
      'aria-label': this.trans.__('Filter runs'),
      'aria-autocomplete': 'list',
      'aria-controls': `${id}-list`,
      'aria-describedby': `${id}-error`,
      'aria-expanded': 'false'
    });
    input.oninput = () => {
      this.showClear();
      this.changed(input.value);
      void this.offer(false);
    };
    input.onkeydown = event => this.pressed(event);
    input.onblur = () => this.close();
    return input;
  }

  private tool(label: string, text: string): HTMLButtonElement {
    return element(
      'button',
      { class: 'aml-Tool', type: 'button', title: label, 'aria-label': label },
      text
    );
  }

  private showClear(): void {
    this.clear.hidden = this.line === '';
  }

  // Completing --------------------------------------------------------------------------------

  /** Offer what the word at the caret may become; of an empty word only if `asked`. */
  private async offer(asked: boolean): Promise<void> {
    const words = await this.words().catch(() => null);
    this.word = wordAt(this.line, this.input.selectionStart ?? this.line.length);
    if (words === null || document.activeElement !== this.input) {
      return;
    }
    this.offered = this.word.text === '' && !asked ? [] : completions(this.word.text, words);
    this.chosen = -1;
    this.list.replaceChildren(...this.offered.map((each, index) => this.option(each, index)));
    this.list.hidden = this.offered.length === 0;
    this.showChosen();
  }

  private option({ text }: Completion, index: number): HTMLElement {
    const option = element(
      'li',
      { class: 'aml-Filter-option', role: 'option', id: `${this.list.id}-${index}` },
      text
    );
    // Before the input loses the focus to it.
    option.onmousedown = event => {
      event.preventDefault();
      this.accept(index);
    };
    return option;
  }

  private accept(index: number): void {
    const { text, open } = this.offered[index]!;
    const { from, to } = this.word;
    const end = open ? '' : ' ';
    const rest = this.line.slice(to);
    this.input.value = this.line.slice(0, from) + text + end + rest.trimStart();
    const caret = from + text.length + end.length;
    this.input.setSelectionRange(caret, caret);
    this.close();
    this.showClear();
    this.changed(this.line);
    if (open) {
      void this.offer(true);
    }
  }

  private pressed(event: KeyboardEvent): void {
    if (this.act(event)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  private act({ key }: KeyboardEvent): boolean {
    const isOpen = !this.list.hidden;
    if (key === 'ArrowDown' || key === 'ArrowUp') {
      if (isOpen) {
        const step = key === 'ArrowDown' ? 1 : -1;
        const { length } = this.offered;
        this.chosen = (this.chosen + step + length + (this.chosen < 0 && step < 0 ? 1 : 0)) % length;
        this.showChosen();
      } else {
        void this.offer(true);
      }
      return true;
    }
    if ((key === 'Enter' || key === 'Tab') && isOpen && this.chosen >= 0) {
      this.accept(this.chosen);
      return true;
    }
    if (key === 'Escape' && (isOpen || !this.help.hidden || this.line !== '')) {
      if (isOpen || !this.help.hidden) {
        this.close();
        this.showHelp(false);
      } else {
        this.setLine('');
      }
      return true;
    }
    if (key === 'Enter') {
      this.close();
      return true;
    }
    return false;
  }

  private showChosen(): void {
    [...this.list.children].forEach((option, index) => {
      option.setAttribute('aria-selected', String(index === this.chosen));
      if (index === this.chosen) {
        option.scrollIntoView({ block: 'nearest' });
      }
    });
    const id = this.chosen < 0 ? '' : `${this.list.id}-${this.chosen}`;
    this.input.setAttribute('aria-activedescendant', id);
    this.input.setAttribute('aria-expanded', String(!this.list.hidden));
  }

  private close(): void {
    this.offered = [];
    this.chosen = -1;
    this.list.hidden = true;
    this.list.replaceChildren();
    this.showChosen();
  }

  // Help --------------------------------------------------------------------------------------

  private makeHelp(id: string): HTMLElement {
    const { trans } = this;
    const rows: readonly [string, string][] = [
      ['resnet', trans.__('in the name, id, experiment, notebook or a tag')],
      ['state:failed', trans.__('running, waiting, failed, completed, live, ended …')],
      ['tag:best', trans.__('with the tag; tag:owner=ann with this value')],
      ['metric.loss<0.2', trans.__('whose last value is so: < <= > >= = !=')],
      ['experiment:mnist', trans.__('also notebook: and target:')],
      ['since:7d', trans.__('90m, 12h, 7d, today, 2026-05-31; also before:')],
      ['children:yes', trans.__('runs inside other runs as well')],
      ['archived:only', trans.__('archived runs; yes for all')],
      ['-tag:old', trans.__('a minus: those that it does not find')]
    ];
    const list = element('dl', {});
    for (const [written, finds] of rows) {
      list.append(element('dt', {}, element('code', {}, written)), element('dd', {}, finds));
    }
    const text = trans.__('Several words must all hold. Values with spaces stand in quotes.');
    return element(
      'div',
      { class: 'aml-Filter-help', id, role: 'note', 'aria-label': trans.__('How to filter') },
      list,
      element('p', {}, text)
    );
  }

  private showHelp(shown: boolean): void {
    this.help.hidden = !shown;
    this.helpButton.setAttribute('aria-expanded', String(shown));
  }
}
