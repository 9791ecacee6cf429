import { element } from '../dom';
import { bytes, count } from '../format';
import type { LogMatches } from '../protocol';
import { coloured } from './ansi';
import { AskingButton } from './asking';
import { debounced, searchField, setShown, setText, signButton } from './controls';
import { HIT_CLASS, lineNodes } from './log_text';
import type { Notices } from './notices';
import type { Session } from './session';
import { trans } from './words';

const PAUSE = 150;
const NOW = 'aml-v-hit-now';

/** Where a search is shown. */
export interface Searched {
  /** The box that shows lines now. */
  readonly box: () => HTMLElement;
  /** Mark the text in it. */
  readonly mark: (text: string) => void;
  /** Show the lines around a byte of the file. */
  readonly openAround: (at: number) => void;
}

/** A search in the lines shown, and, by the kernel, in the whole file. */
export class LogSearch {
  readonly controls: readonly HTMLElement[];
  /** The places found in the whole file. */
  readonly list = element('div', { class: 'aml-v-matches', hidden: '' });
  private readonly field: HTMLInputElement;
  private readonly found = element('span', { class: 'aml-v-muted', role: 'status' });
  private readonly buttons: readonly HTMLButtonElement[];
  private readonly whole: AskingButton;

  constructor(
    session: Session,
    notices: Notices,
    private readonly searched: Searched,
    signal: AbortSignal
  ) {
    const search = debounced((text: string) => this.search(text), PAUSE, signal);
    this.field = searchField(trans.__('Search the log'), search);
    this.field.addEventListener('keydown', event => this.onKey(event));
    this.buttons = [
      signButton('↑', trans.__('Previous match'), () => this.step(-1)),
      signButton('↓', trans.__('Next match'), () => this.step(1))
    ];
    const question = (): { kind: 'find'; file: string; text: string } => ({
      kind: 'find',
      file: session.log.file,
      text: this.field.value
    });
    this.whole = new AskingButton(trans.__('Search the whole file'), question, session, notices, signal);
    this.controls = [this.field, this.found, ...this.buttons, this.whole.node];
    session.onTold('matches', told => told.matches && this.show(told.matches), signal);
    session.onOtherRun(() => setShown(this.list, false), signal);
    this.update();
  }

  /** Count anew, because the lines changed. */
  update(): void {
    const hits = this.hits();
    const at = hits.findIndex(isNow);
    const isSearching = this.field.value !== '';
    [this.found, ...this.buttons, this.whole.node].forEach(node => setShown(node, isSearching));
    const all = count(hits.length);
    setText(this.found, at < 0 ? trans.__('%1 here', all) : trans.__('%1 of %2', count(at + 1), all));
    this.buttons.forEach(made => (made.disabled = hits.length === 0));
  }

  private hits(): HTMLElement[] {
    const found = this.searched.box().querySelectorAll<HTMLElement>(`.${HIT_CLASS}`);
    return this.field.value === '' ? [] : [...found];
  }

  private search(text: string): void {
    this.searched.mark(text);
    if (text === '') {
      setShown(this.list, false);
    }
    this.update();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === 'Enter') {
      event.preventDefault();
      this.step(event.shiftKey ? -1 : 1);
    } else if (event.key === 'Escape') {
      this.field.value = '';
      this.search('');
    }
  }

  private step(by: number): void {
    const hits = this.hits();
    if (hits.length === 0) {
      return;
    }
    const at = hits.findIndex(isNow);
    hits[at]?.classList.remove(NOW);
    // The reader of a log stands at its end: the first step leads to the last match.
    const hit = hits[at < 0 ? hits.length - 1 : (at + by + hits.length) % hits.length];
    if (hit !== undefined) {
      hit.classList.add(NOW);
      scrollInto(this.searched.box(), hit);
    }
    this.update();
  }

  private show(matches: LogMatches): void {
    if (!this.whole.waits || matches.text !== this.field.value) {
      return;
    }
    this.whole.settle();
    const items = matches.matches.map(({ at, line }) => {
      const made = element('button', { type: 'button', class: 'aml-v-choice' });
      made.append(...lineNodes(coloured(line).spans, matches.text));
      made.addEventListener('click', () => this.searched.openAround(at));
      return element('li', {}, made);
    });
    const close = signButton('×', trans.__('Close the matches'), () => setShown(this.list, false));
    const words = element('p', { class: 'aml-v-muted', role: 'status' }, summary(matches), close);
    this.list.replaceChildren(words, element('ul', { class: 'aml-v-choices' }, ...items));
    setShown(this.list, true);
  }
}

function isNow(hit: HTMLElement): boolean {
  return hit.classList.contains(NOW);
}

function summary({ matches, more, searched }: LogMatches): string {
  const number = matches.length;
  const [shown, looked] = [count(number), bytes(searched)];
  return more
    ? trans.__('The first %1 lines with it, %2 looked through.', shown, looked)
    : trans._n(
        '%2 line with it, %3 looked through.',
        '%2 lines with it, %3 looked through.',
        ...([number, shown, looked] as const)
      );
}

// Not `scrollIntoView`: that would move the notebook, too.
function scrollInto(box: HTMLElement, node: HTMLElement): void {
  const offset = node.getBoundingClientRect().top - box.getBoundingClientRect().top;
  if (offset < 0 || offset > box.clientHeight - node.offsetHeight) {
    box.scrollTop += offset - box.clientHeight / 3;
  }
}
