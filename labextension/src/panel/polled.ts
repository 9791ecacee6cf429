import type { TranslationBundle } from '@jupyterlab/translation';
import { Poll } from '@lumino/polling';
import { Widget } from '@lumino/widgets';

import { element, nameHalves } from '../dom';
import { ServerError, type IRunService, type ISectionHost } from '../tokens';

/** A section that asks the server again and again, as long as it is on screen. */
export abstract class PolledSection<Answer> extends Widget {
  private readonly poll: Poll;
  private readonly box = element('div', {});
  private readonly said = element('div', { class: 'aml-Said', role: 'status', 'aria-live': 'polite' });
  private drawn = '';

  constructor(
    protected readonly host: ISectionHost,
    protected readonly service: IRunService,
    protected readonly trans: TranslationBundle,
    private readonly path: string,
    interval: number
  ) {
    super();
    this.addClass('aml-Machine');
    this.node.append(this.box, this.said);
    this.poll = new Poll({
      auto: false,
      factory: () => this.look(),
      frequency: { interval, backoff: true, max: 60_000 },
      standby: () => !host.isShown
    });
    host.shownChanged.connect(() => this.ask());
    host.refreshAsked.connect(() => this.ask());
    service.placesChanged.connect(this.ask, this);
    void this.poll.start();
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.poll.dispose();
      this.service.placesChanged.disconnect(this.ask, this);
      super.dispose();
    }
  }

  /** What is shown of an answer; `note` of the host is set as well. */
  protected abstract draw(answer: Answer, place: string): readonly Node[];

  /** Ask at once. */
  protected ask(): void {
    if (this.host.isShown && !this.isDisposed) {
      void this.poll.refresh();
    }
  }

  /** Tell somebody who cannot see what has changed. */
  protected say(text: string): void {
    this.said.textContent = text;
  }

  private async look(): Promise<void> {
    const place = this.service.place?.key;
    if (place === undefined) {
      this.present('', () => [muted(this.trans.__('No workspace yet'))]);
      return;
    }
    try {
      const answer = await this.service.get<Answer>(this.path, { place });
      this.present(JSON.stringify([place, answer]), () => this.draw(answer, place));
    } catch (error) {
      this.present('', () => [problem(error)]);
      throw error;
    }
  }

  /** Draw, unless that is what is there: who reads or has the focus in it is left alone. */
  private present(content: string, draw: () => readonly Node[]): void {
    if (this.isDisposed || (content !== '' && content === this.drawn)) {
      return;
    }
    this.drawn = content;
    const open = new Set(keysOf(this.box, 'details[open][data-key]'));
    const [focused] = keysOf(this.box, ':focus');
    this.box.replaceChildren(...draw());
    for (const each of this.box.querySelectorAll<HTMLDetailsElement>('details[data-key]')) {
      each.open = open.has(each.dataset.key ?? '');
    }
    const again = focused && this.box.querySelector(`[data-key="${CSS.escape(focused)}"]`);
    if (again instanceof HTMLElement) {
      again.focus();
    }
  }
}

function keysOf(box: HTMLElement, selector: string): string[] {
  return [...box.querySelectorAll<HTMLElement>(selector)].map(each => each.dataset.key ?? '');
}

/** A line in the colour of what is said by the way. */
export function muted(text: string): HTMLElement {
  return element('p', { class: 'aml-Machine-muted' }, text);
}

/** What went wrong, with what to do. */
export function problem(error: unknown): HTMLElement {
  const { message, hint } =
    error instanceof ServerError ? error.problem : { message: String(error), hint: '' };
  return element(
    'div',
    { class: 'aml-Notice aml-mod-problem' },
    element('strong', {}, message),
    element('p', {}, hint)
  );
}

/** A heading within a section. */
export function heading(text: string): HTMLElement {
  return element('h4', {}, text);
}

/** A line with a name, what is said of it, and further lines below. */
export function entry(
  name: string,
  said: string,
  below: readonly string[] = [],
  ...more: readonly (Node | null)[]
): HTMLElement {
  return element(
    'li',
    {},
    element(
      'div',
      { class: 'aml-Machine-line' },
      element('span', { class: 'aml-Machine-name', title: name }, ...nameHalves(name)),
      element('span', { class: 'aml-Machine-said' }, said)
    ),
    ...below.filter(text => text !== '').map(muted),
    ...more
  );
}

/** The name of an entry as what opens something. */
export function nameButton(name: string, key: string, open: () => void): HTMLElement {
  const attributes = { type: 'button', 'data-key': key, title: name, 'aria-label': name };
  const button = element('button', attributes, ...nameHalves(name));
  button.onclick = open;
  return button;
}
