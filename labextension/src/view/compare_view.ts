import { element } from '../dom';
import type { Part } from './part';
import type { Session } from './session';
import { waiting } from './words';

/** What differs between the runs that are shown. */
export class CompareView implements Part {
  readonly node = element('div', { class: 'aml-v-compare aml-v-scroll' });
  private drawn: string | undefined;

  constructor(private readonly session: Session, signal: AbortSignal) {
    session.onTold('compare', told => this.draw(told.compare), signal);
    session.onOtherRun(() => this.draw(undefined), signal);
  }

  open(): void {
    this.draw(this.session.answer('compare')?.compare);
    this.refresh();
  }

  refresh(): void {
    this.session.ask({ kind: 'compare' });
  }

  private draw(html: string | undefined): void {
    if (html === undefined) {
      this.node.textContent = waiting();
    } else if (html !== this.drawn) {
      // The kernel makes this HTML and escapes what is in it.
      this.node.innerHTML = html;
    }
    this.drawn = html;
  }
}
