import { element } from '../dom';
import { bytes } from '../format';
import { setShown } from './controls';
import { spansOf, type LogLine } from './log_lines';
import { lineNodes } from './log_text';
import type { Session } from './session';
import { trans } from './words';

const AT_END = 6;

/** A box with lines of a log that can be scrolled by keyboard, too. */
export function logBox(label: string): HTMLElement {
  return element('div', {
    ...{ class: 'aml-v-log', role: 'log', 'aria-live': 'off' },
    ...{ 'aria-label': label, tabindex: '0' }
  });
}

/** The end of the log as lines in the page; only lines that changed are touched, once a frame. */
export class LogList {
  readonly node = logBox(trans.__('Log'));
  /** Called when following begins or stops, and after lines were drawn. */
  onChange: () => void = () => undefined;
  following = true;
  private readonly top: HTMLElement;
  private readonly lines = element('div', {});
  private readonly empty = element('p', { class: 'aml-v-muted' });
  private nodes: HTMLElement[] = [];
  private first = 0;
  private dirty = -Infinity;
  private frame = 0;
  private lastTop = 0;
  private search = '';
  private isOpen = true;

  constructor(
    private readonly session: Session,
    earlier: HTMLElement,
    signal: AbortSignal
  ) {
    this.top = element('div', { class: 'aml-v-earlier' }, earlier);
    this.node.append(this.top, this.lines, this.empty);
    this.node.addEventListener('scroll', () => this.onScroll(), { passive: true });
    session.onLog(first => this.spoil(first), signal);
    const observer = new ResizeObserver(() => this.stick());
    observer.observe(this.node);
    signal.addEventListener('abort', () => {
      observer.disconnect();
      window.cancelAnimationFrame(this.frame);
    });
    this.spoil(-Infinity);
  }

  /** Follow the end of the log, or stay where the reader is. */
  setFollowing(following: boolean): void {
    if (this.following !== following) {
      this.following = following;
      this.onChange();
    }
    this.stick();
  }

  /** Mark where a text occurs. */
  setSearch(search: string): void {
    if (this.search !== search) {
      this.search = search;
      this.spoil(-Infinity);
    }
  }

  /** Draw or rest: what is not seen need not be drawn. */
  setOpen(open: boolean): void {
    this.isOpen = open;
    this.schedule();
  }

  private spoil(first: number): void {
    this.dirty = Math.min(this.dirty, first);
    this.schedule();
  }

  private schedule(): void {
    if (this.isOpen && this.frame === 0 && this.dirty !== Infinity) {
      this.frame = window.requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }
  }

  private draw(): void {
    const { log } = this.session;
    this.drop();
    this.update(Math.max(this.dirty, log.first), log.next);
    this.dirty = Infinity;
    setShown(this.top, log.cut > 0);
    setShown(this.empty, log.next === log.first && log.cut === 0);
    this.node.classList.toggle('aml-v-ended', log.ended);
    this.empty.textContent = log.ended ? trans.__('The run wrote nothing.') : trans.__('No output yet.');
    this.stick();
    this.onChange();
  }

  /** Take away what is no longer kept. */
  private drop(): void {
    const { first } = this.session.log;
    const gone = this.dirty === -Infinity ? this.nodes.length : Math.max(0, first - this.first);
    this.nodes.splice(0, gone).forEach(node => node.remove());
    this.first = this.nodes.length > 0 ? this.first + gone : first;
  }

  private update(from: number, to: number): void {
    const added = document.createDocumentFragment();
    for (let number = from; number < to; number++) {
      const line = this.session.log.line(number);
      let node = this.nodes[number - this.first];
      if (node === undefined) {
        node = element('div', { class: 'aml-v-line' });
        this.nodes.push(node);
        added.append(node);
      }
      if (line !== undefined) {
        this.fill(node, line);
      }
    }
    this.lines.append(added);
    this.nodes.splice(to - this.first).forEach(node => node.remove());
  }

  private fill(node: HTMLElement, line: LogLine): void {
    node.replaceChildren(...lineNodes(spansOf(line), this.search));
    if (line.passed > 0) {
      const words = trans.__('… %1 passed over, they are in the file', bytes(line.passed));
      node.prepend(element('div', { class: 'aml-v-passed' }, words));
    }
  }

  private stick(): void {
    if (this.following) {
      this.node.scrollTop = this.node.scrollHeight;
      this.lastTop = this.node.scrollTop;
    }
  }

  // Whoever scrolls up wants to read; whoever scrolls to the end wants to see what comes.
  private onScroll(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.node;
    if (scrollHeight - scrollTop - clientHeight <= AT_END) {
      this.setFollowing(true);
    } else if (scrollTop < this.lastTop) {
      this.setFollowing(false);
    }
    this.lastTop = scrollTop;
  }
}
