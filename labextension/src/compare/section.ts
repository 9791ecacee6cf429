import { element } from '../dom';
import { newId } from '../view/controls';

/** A part of a page with a title that folds it up; its content is made when it is opened first. */
export class Section {
  readonly node: HTMLElement;
  readonly body = element('div', { class: 'aml-Compare-body', id: newId() });
  private readonly button: HTMLButtonElement;

  constructor(
    readonly id: string,
    title: string,
    isOpen: boolean,
    private readonly onChange: (isOpen: boolean) => void
  ) {
    this.button = element(
      'button',
      { type: 'button', class: 'aml-Compare-fold', 'aria-controls': this.body.id },
      title
    );
    this.button.addEventListener('click', () => this.setOpen(!this.isOpen));
    this.node = element('section', { 'aria-label': title }, element('h2', {}, this.button), this.body);
    this.body.hidden = !isOpen;
    this.button.setAttribute('aria-expanded', String(isOpen));
  }

  get isOpen(): boolean {
    return !this.body.hidden;
  }

  setOpen(isOpen: boolean): void {
    this.body.hidden = !isOpen;
    this.button.setAttribute('aria-expanded', String(isOpen));
    this.onChange(isOpen);
  }
}
