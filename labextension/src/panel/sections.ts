import { caretDownIcon } from '@jupyterlab/ui-components';
import { ArrayExt } from '@lumino/algorithm';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';
import { Panel, Widget } from '@lumino/widgets';

import { element } from '../dom';
import type { IPanelSection, IPanelSections, ISectionHost } from '../tokens';

/** The sections that there are, in their order. */
export class PanelSections implements IPanelSections {
  private readonly all: IPanelSection[] = [];
  private readonly signal = new Signal<IPanelSections, void>(this);

  get sections(): readonly IPanelSection[] {
    return this.all;
  }

  get changed(): ISignal<IPanelSections, void> {
    return this.signal;
  }

  add(section: IPanelSection): IDisposable {
    const index = ArrayExt.upperBound(this.all, section, (a, b) => a.rank - b.rank);
    ArrayExt.insert(this.all, index, section);
    this.signal.emit();
    return new DisposableDelegate(() => {
      ArrayExt.removeFirstOf(this.all, section);
      this.signal.emit();
    });
  }
}

/** What stays of sections that were closed. */
export interface OpenSections {
  isOpen(id: string): boolean;
  setOpen(id: string, open: boolean): void;
}

/** A section as it is drawn: a heading that opens and closes it, and its content once it was open. */
export class SectionView extends Panel implements ISectionHost {
  private readonly button: HTMLButtonElement;
  private readonly note = element('span', { class: 'aml-Section-note' });
  private readonly shown = new Signal<ISectionHost, boolean>(this);
  private readonly refresh = new Signal<ISectionHost, void>(this);
  private content: Widget | null = null;
  private panelShown = false;
  private wasShown = false;

  constructor(
    readonly section: IPanelSection,
    private readonly open: OpenSections
  ) {
    super();
    this.addClass('aml-Section');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', section.title);
    const caret = element('span', { class: 'aml-Section-caret', 'aria-hidden': 'true' });
    caretDownIcon.element({ container: caret });
    this.button = element('button', { type: 'button' }, caret, section.title, this.note);
    this.button.onclick = () => {
      open.setOpen(section.id, !this.isOpen);
      this.update_();
    };
    const heading = new Widget({ node: element('h3', {}, this.button) });
    heading.addClass('aml-Section-heading');
    this.addWidget(heading);
  }

  get isOpen(): boolean {
    return this.open.isOpen(this.section.id);
  }

  get isShown(): boolean {
    return this.panelShown && this.isOpen && !document.hidden;
  }

  get shownChanged(): ISignal<ISectionHost, boolean> {
    return this.shown;
  }

  get refreshAsked(): ISignal<ISectionHost, void> {
    return this.refresh;
  }

  setNote(text: string): void {
    this.note.textContent = text;
  }

  askRefresh(): void {
    if (this.isShown) {
      this.refresh.emit();
    }
  }

  /** The panel has come into sight or is out of it. */
  setPanelShown(shown: boolean): void {
    this.panelShown = shown;
    this.update_();
  }

  private update_(): void {
    const { isOpen, isShown } = this;
    this.button.setAttribute('aria-expanded', String(isOpen));
    this.toggleClass('aml-mod-closed', !isOpen);
    if (isShown && this.content === null) {
      this.content = this.section.create(this);
      this.content.addClass('aml-Section-content');
      this.addWidget(this.content);
    }
    this.content?.setHidden(!isOpen);
    if (isShown !== this.wasShown) {
      this.wasShown = isShown;
      this.shown.emit(isShown);
    }
  }
}
