import { refreshIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';

import { element } from '../dom';
import type { IPanelSections, IRunService } from '../tokens';
import { runsIcon } from './icon';
import type { Memory } from './memory';
import { SectionView, type OpenSections } from './sections';

/** What the panel remembers. */
export interface KeptOfPanel {
  open: readonly string[];
}

/** The sidebar: which workspace is looked at, and the sections below each other. */
export class RunsPanel extends Panel {
  private readonly views = new Map<string, SectionView>();
  private readonly chooser = element('select', { class: 'aml-Panel-place' });
  private readonly title_ = element('h2', { class: 'aml-Panel-title' });
  private readonly listening = new AbortController();
  private ready = false;

  constructor(
    private readonly service: IRunService,
    private readonly sections: IPanelSections,
    private readonly memory: Memory<KeptOfPanel>,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.id = 'aml-jupyter-runs';
    this.addClass('aml-Panel');
    this.title.icon = runsIcon;
    this.title.caption = trans.__('Runs');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Runs'));
    this.addWidget(this.head());
    service.placesChanged.connect(this.showPlaces, this);
    sections.changed.connect(this.arrange, this);
    this.showPlaces();
    const { signal } = this.listening;
    document.addEventListener('visibilitychange', () => this.tellShown(), { signal });
    void memory.ready.then(() => {
      this.ready = true;
      this.arrange();
    });
  }

  override dispose(): void {
    this.listening.abort();
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.tellShown();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    // Workspaces may have come meanwhile.
    void this.service.lookAgain().catch(() => undefined);
    this.tellShown();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.tellShown();
  }

  protected override onAfterDetach(message: Message): void {
    super.onAfterDetach(message);
    this.tellShown();
  }

  private head(): Widget {
    const { trans } = this;
    const label = trans.__('Refresh');
    const button = element('button', {
      class: 'aml-Tool',
      type: 'button',
      title: label,
      'aria-label': label
    });
    refreshIcon.element({ container: button });
    button.onclick = () => this.refresh();
    this.title_.textContent = trans.__('Runs');
    this.chooser.setAttribute('aria-label', trans.__('Workspace'));
    this.chooser.onchange = () => this.service.choosePlace(this.chooser.value);
    const head = new Widget({ node: element('div', {}, this.title_, this.chooser, button) });
    head.addClass('aml-Panel-head');
    return head;
  }

  private refresh(): void {
    void this.service.lookAgain().catch(() => undefined);
    this.views.forEach(view => view.askRefresh());
  }

  private showPlaces(): void {
    const { places, place } = this.service;
    this.chooser.replaceChildren(
      ...places.map(({ key, name, project }) =>
        element('option', { value: key }, project === '' ? name : `${name} (${project})`)
      )
    );
    this.chooser.value = place?.key ?? '';
    this.chooser.title = place?.project ?? '';
    this.chooser.hidden = places.length < 2;
    this.title_.hidden = places.length >= 2;
  }

  /** Put the sections in their order; those that stay keep what they show. */
  private arrange(): void {
    if (!this.ready) {
      return;
    }
    const { sections } = this.sections;
    for (const [id, view] of this.views) {
      if (!sections.includes(view.section)) {
        this.views.delete(id);
        view.dispose();
      }
    }
    sections.forEach((section, index) => {
      const view = this.views.get(section.id) ?? new SectionView(section, this.openSections());
      this.views.set(section.id, view);
      if (this.widgets[index + 1] !== view) {
        this.insertWidget(index + 1, view);
      }
    });
    this.tellShown();
  }

  private openSections(): OpenSections {
    // Others would take room from the list of runs, and ask the server for what nobody looks at.
    const opened = (): readonly string[] => this.memory.get('open', ['runs']);
    return {
      isOpen: id => opened().includes(id),
      setOpen: (id, open) => {
        const others = opened().filter(each => each !== id);
        this.memory.set('open', open ? [...others, id] : others);
      }
    };
  }

  private tellShown(): void {
    this.views.forEach(view => view.setPanelShown(this.isVisible));
  }
}
