import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import type { Counts } from '../api';
import { element } from '../dom';
import { Commands, IRunService } from '../tokens';
import { Follower } from './follower';
import { runsIcon } from './icons';
import { IRunChoices } from './settings';

/** How many runs go on, in the status bar. */
export const statusBarPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:status-bar',
  description: 'Shows in the status bar how many runs go on.',
  autoStart: true,
  requires: [IRunService, IRunChoices],
  optional: [IStatusBar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    choices: IRunChoices,
    bar: IStatusBar | null,
    translator: ITranslator | null
  ) => {
    if (bar === null) {
      return;
    }
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const item = new RunCount(() => void app.commands.execute(Commands.showPanel), trans);
    bar.registerStatusItem('aml-jupyter:runs', {
      item,
      align: 'left',
      rank: 20,
      isActive: () => item.isActive,
      activeStateChanged: item.activeChanged
    });
    const follower = new Follower(
      service,
      'counts',
      { counts: counts => item.tell(counts) },
      () => item.tell(null)
    );
    const heed = (): void => {
      follower.wanted = choices.now.statusBar;
    };
    choices.changed.connect(heed);
    void app.restored.then(heed);
  }
};

/** A button that says how many runs go on and wait; not there when none does. */
class RunCount extends Widget {
  readonly activeChanged = new Signal<this, void>(this);
  isActive = false;
  private readonly words = element('span', {});
  private readonly button: HTMLButtonElement;

  constructor(
    show: () => void,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('aml-StatusItem');
    this.button = element('button', { type: 'button' }, runsIcon.element({ tag: 'span' }), this.words);
    this.button.addEventListener('click', show);
    this.node.append(this.button);
  }

  tell(counts: Counts | null): void {
    const { trans } = this;
    const { running = 0, waiting = 0 } = counts ?? {};
    const parts = [
      running > 0 ? trans._n('1 running', '%1 running', running) : '',
      waiting > 0 ? trans._n('1 waiting', '%1 waiting', waiting) : ''
    ];
    const text = parts.filter(part => part !== '').join(' · ');
    this.words.textContent = text;
    this.button.title = trans.__('Show runs');
    this.button.setAttribute('aria-label', trans.__('Runs: %1. Show them.', text));
    const isActive = text !== '';
    if (isActive !== this.isActive) {
      this.isActive = isActive;
      this.activeChanged.emit();
    }
  }
}
