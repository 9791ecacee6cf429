import { element } from '../dom';
import { signButton } from './controls';
import { trans } from './words';

const SHOWN = 10_000;

/** Words to the reader: what was done goes away by itself, what went wrong is to be dismissed. */
export class Notices {
  readonly node = element('div', { class: 'aml-v-notices' });
  private readonly done = element('div', { role: 'status', 'aria-live': 'polite' });
  private readonly wrong = element('div', { role: 'alert' });
  private timer = 0;

  constructor(signal: AbortSignal) {
    this.node.append(this.done, this.wrong);
    signal.addEventListener('abort', () => window.clearTimeout(this.timer));
  }

  /** Say something. */
  say(text: string, bad = false): void {
    if (bad) {
      this.complain(text);
      return;
    }
    window.clearTimeout(this.timer);
    this.done.replaceChildren(element('p', { class: 'aml-v-notice' }, text));
    this.timer = window.setTimeout(() => this.done.replaceChildren(), SHOWN);
  }

  private complain(text: string): void {
    const notice = element('p', { class: 'aml-v-notice aml-v-bad' }, text);
    notice.append(signButton('×', trans.__('Dismiss'), () => notice.remove()));
    this.wrong.replaceChildren(notice);
  }
}
