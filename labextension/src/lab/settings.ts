import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Token } from '@lumino/coreutils';
import { Signal, type ISignal } from '@lumino/signaling';

const SCHEMA = 'aml-jupyter:panel';

/** What the user has chosen. */
export interface Choices {
  readonly notify: 'all' | 'failed' | 'off';
  readonly notifyOf: 'all' | 'notebooks';
  /** Seconds. */
  readonly notifyAfter: number;
  readonly cellMarks: boolean;
  readonly statusBar: boolean;
}

/** The user's choices, as they are now. */
export interface IRunChoices {
  readonly now: Choices;
  readonly changed: ISignal<IRunChoices, void>;
}

export const IRunChoices = new Token<IRunChoices>(
  'aml-jupyter:IRunChoices',
  'What the user has chosen about runs in the settings.'
);

const USUAL: Choices = {
  notify: 'all',
  notifyOf: 'all',
  notifyAfter: 10,
  cellMarks: true,
  statusBar: true
};

/** Reads the settings, and hears of changes. */
export const choicesPlugin: JupyterFrontEndPlugin<IRunChoices> = {
  id: 'aml-jupyter:choices',
  description: 'Reads what the user has chosen about runs.',
  autoStart: true,
  provides: IRunChoices,
  optional: [ISettingRegistry],
  activate: (_app: JupyterFrontEnd, registry: ISettingRegistry | null): IRunChoices => {
    const choices = new RunChoices();
    void registry?.load(SCHEMA).then(
      settings => {
        const take = (): void => choices.take(settings.composite as Partial<Choices>);
        settings.changed.connect(take);
        take();
      },
      // The usual choices hold.
      () => undefined
    );
    return choices;
  }
};

class RunChoices implements IRunChoices {
  now = USUAL;
  readonly changed = new Signal<this, void>(this);

  take(found: Partial<Choices>): void {
    this.now = { ...USUAL, ...found };
    this.changed.emit();
  }
}
