import { element } from '../dom';
import { moment } from '../format';
import type { Candidate } from '../protocol';
import { AskingButton } from './asking';
import { newId, searchField, setShown, setText, stateMark } from './controls';
import type { Notices } from './notices';
import type { Session } from './session';
import { trans } from './words';

const MOST = 100;

/** A button that opens a list of runs to compare with, and that list, which can be searched. */
export class CandidateList {
  readonly panel = element('div', { class: 'aml-v-candidates', hidden: '' });
  private readonly button: AskingButton;
  private readonly search = searchField(trans.__('Search runs'), () => this.draw());
  private readonly list = element('ul', { class: 'aml-v-choices' });
  private readonly empty = element('p', { class: 'aml-v-muted' });
  private candidates: readonly Candidate[] = [];

  constructor(
    session: Session,
    notices: Notices,
    signal: AbortSignal
  ) {
    const question = (): { kind: 'candidates' } => ({ kind: 'candidates' });
    this.button = new AskingButton(trans.__('Compare…'), question, session, notices, signal);
    this.panel.id = newId();
    this.panel.setAttribute('role', 'group');
    this.panel.setAttribute('aria-label', trans.__('Compare with'));
    this.panel.append(this.search, this.list, this.empty);
    this.node.setAttribute('aria-expanded', 'false');
    this.node.setAttribute('aria-controls', this.panel.id);
    this.node.addEventListener('click', event => this.onClick(event), { capture: true });
    this.panel.addEventListener('keydown', event => event.key === 'Escape' && this.close(true));
    // The field keeps its keys to itself, so it is asked on its own.
    this.search.addEventListener('keydown', event => event.key === 'Escape' && this.close(true));
    session.onTold('candidates', told => this.open(told.candidates ?? []), signal);
    session.onOtherRun(() => this.close(false), signal);
  }

  /** The button. */
  get node(): HTMLButtonElement {
    return this.button.node;
  }

  private onClick(event: Event): void {
    if (!this.panel.hidden) {
      event.stopImmediatePropagation();
      this.close(true);
    }
  }

  private open(candidates: readonly Candidate[]): void {
    // Another view of the same run may have asked.
    if (!this.button.waits) {
      return;
    }
    this.button.settle();
    this.candidates = candidates;
    this.search.value = '';
    this.draw();
    this.setOpen(true);
    this.search.focus();
  }

  private close(isReaders: boolean): void {
    this.setOpen(false);
    if (isReaders) {
      this.node.focus();
    }
  }

  private setOpen(open: boolean): void {
    setShown(this.panel, open);
    this.node.setAttribute('aria-expanded', String(open));
  }

  private draw(): void {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(word => word !== '');
    const fits = this.candidates.filter(one => {
      const text = `${one.name} ${one.id} ${one.status}`.toLowerCase();
      return words.every(word => text.includes(word));
    });
    this.list.replaceChildren(...fits.slice(0, MOST).map(one => this.item(one)));
    setShown(this.empty, fits.length === 0);
    setText(this.empty, words.length > 0 ? trans.__('No run fits.') : trans.__('There is no other run.'));
  }

  private item(candidate: Candidate): HTMLElement {
    const { id, name, status, started } = candidate;
    const made = element(
      'button',
      { type: 'button', class: 'aml-v-choice' },
      stateMark(status),
      element('span', { class: 'aml-v-name' }, name),
      element('code', { class: 'aml-v-muted' }, id === name ? '' : id),
      element('span', { class: 'aml-v-muted' }, started === null ? '' : moment(started))
    );
    made.addEventListener('click', () => {
      this.close(true);
      this.button.ask({ kind: 'against', run: id });
    });
    return element('li', {}, made);
  }
}
