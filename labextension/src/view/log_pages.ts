import { element } from '../dom';
import { bytes } from '../format';
import type { LogPage } from '../protocol';
import { coloured, PLAIN, uncoloured } from './ansi';
import { AskingButton } from './asking';
import { button, setShown, setText } from './controls';
import { logBox } from './log_list';
import { shortened } from './log_lines';
import { lineNodes } from './log_text';
import type { Notices } from './notices';
import type { Session } from './session';
import { trans } from './words';

const MOST_PAGES = 4;

interface Shown {
  readonly page: LogPage;
  readonly node: HTMLElement;
}

/** Stretches from the middle of a log, one after the other. */
export class LogPages {
  readonly node = element('div', { class: 'aml-v-pages', hidden: '' });
  private readonly box = logBox(trans.__('Part of the log'));
  private readonly earlier: AskingButton;
  private readonly later: AskingButton;
  private readonly where = element('span', { class: 'aml-v-muted', role: 'status' });
  private pages: Shown[] = [];
  private awaited: 'none' | 'before' | 'after' | 'around' | 'context' = 'none';
  private search = '';

  constructor(
    private readonly session: Session,
    notices: Notices,
    onEnd: () => void,
    signal: AbortSignal
  ) {
    const asking = (words: string, before: boolean): AskingButton =>
      new AskingButton(words, () => this.question(before), session, notices, signal);
    this.earlier = asking(trans.__('Earlier'), true);
    this.later = asking(trans.__('Later'), false);
    const bar = element(
      'div',
      { class: 'aml-v-bar-row', role: 'group', 'aria-label': trans.__('Pages of the log') },
      ...[this.earlier.node, this.later.node, this.where, button(trans.__('Back to the end'), onEnd)]
    );
    this.node.append(bar, this.box);
    session.onTold('page', told => told.page && this.take(told.page), signal);
    session.onOtherRun(onEnd, signal);
  }

  /** The question for what comes just before the end of the log that is kept. */
  beforeWindow(): { kind: 'page'; file: string; at: number; text: string } {
    this.forget();
    this.awaited = 'before';
    const { file, cut } = this.session.log;
    return { kind: 'page', file, at: cut, text: 'before' };
  }

  /** Ask for the lines around a byte of the file. */
  openAround(at: number): void {
    this.forget();
    this.awaited = 'around';
    this.session.ask({ kind: 'page', file: this.session.log.file, at, text: 'after' });
  }

  /** Show no page any more. */
  close(): void {
    this.forget();
    setShown(this.node, false);
  }

  /** The lines shown, without codes. */
  text(): string {
    const lines = this.pages.flatMap(({ page }) => page.lines);
    return lines.map(line => `${uncoloured(line)}\n`).join('');
  }

  /** Mark where a text occurs. */
  setSearch(search: string): void {
    if (search !== this.search) {
      this.search = search;
      this.pages.forEach(({ page, node }) => this.fill(node, page));
    }
  }

  private question(before: boolean): { kind: 'page'; file: string; at: number; text: string } {
    const first = this.pages[0]?.page;
    const last = this.pages[this.pages.length - 1]?.page;
    this.awaited = before ? 'before' : 'after';
    return {
      kind: 'page',
      file: this.session.log.file,
      at: (before ? first?.from : last?.to) ?? 0,
      text: before ? 'before' : 'after'
    };
  }

  private forget(): void {
    this.pages.forEach(({ node }) => node.remove());
    this.pages = [];
    this.awaited = 'none';
  }

  private take(page: LogPage): void {
    const awaited = this.awaited;
    // Several views hear what one of them has asked for.
    if (awaited === 'none' || page.file !== this.session.log.file) {
      return;
    }
    this.awaited = 'none';
    this.earlier.settle();
    this.later.settle();
    setShown(this.node, true);
    if (awaited === 'before' || awaited === 'context') {
      this.addBefore(page);
    } else {
      this.addAfter(page);
    }
    if (awaited === 'around') {
      this.askContext();
    }
    this.describe();
  }

  /** Mark the line that was looked for, and ask for what stands above it. */
  private askContext(): void {
    const first = this.pages[0];
    first?.node.firstElementChild?.classList.add('aml-v-found');
    if (first !== undefined && first.page.from > 0) {
      this.session.ask(this.question(true));
      this.awaited = 'context';
    }
  }

  // What the reader looks at stays in place, whatever comes above it or goes.
  private addBefore(page: LogPage): void {
    const isFirst = this.pages.length === 0;
    const { scrollTop } = this.box;
    const shown = this.shown(page);
    this.pages.unshift(shown);
    this.box.prepend(shown.node);
    this.pages.splice(MOST_PAGES).forEach(({ node }) => node.remove());
    this.box.scrollTop = isFirst
      ? this.box.scrollHeight
      : scrollTop + shown.node.offsetHeight - this.slack(scrollTop);
  }

  private addAfter(page: LogPage): void {
    const { scrollTop } = this.box;
    const shown = this.shown(page);
    this.pages.push(shown);
    this.box.append(shown.node);
    if (this.pages.length > MOST_PAGES) {
      const gone = this.pages.shift()?.node;
      const height = gone?.offsetHeight ?? 0;
      gone?.remove();
      this.box.scrollTop = scrollTop - height;
    }
  }

  /** How far a line that was just jumped to is kept from the upper edge. */
  private slack(scrollTop: number): number {
    return scrollTop === 0 && this.pages.length === 2 ? this.box.clientHeight / 3 : 0;
  }

  private shown(page: LogPage): Shown {
    const shown = { page, node: element('div', {}) };
    this.fill(shown.node, page);
    return shown;
  }

  private fill(node: HTMLElement, page: LogPage): void {
    let style = PLAIN;
    const isFound = node.firstElementChild?.classList.contains('aml-v-found') ?? false;
    const lines = page.lines.map(line => {
      const { spans, end } = coloured(shortened(line), style);
      style = end;
      return element('div', { class: 'aml-v-line' }, ...lineNodes(spans, this.search));
    });
    node.replaceChildren(...lines);
    node.firstElementChild?.classList.toggle('aml-v-found', isFound);
  }

  private describe(): void {
    const from = this.pages[0]?.page.from ?? 0;
    const last = this.pages[this.pages.length - 1]?.page;
    const [to, size] = [last?.to ?? 0, last?.size ?? 0];
    this.earlier.node.disabled = from === 0;
    this.later.node.disabled = to >= size;
    setText(this.where, trans.__('%1 to %2 of %3', bytes(from), bytes(to), bytes(size)));
  }
}
