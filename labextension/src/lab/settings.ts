import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Token } from '@lumino/coreutils';
import { Signal, type ISignal } from '@lumino/signaling';

const SCHEMA = 'aml-jupyter:panel';

/** What the user has chosen. */
export interface Choices {
  /** How the list of runs is grouped and sorted to begin with. */
  readonly groupBy: 'none' | 'experiment' | 'notebook' | 'sweep';
  readonly sortBy: string;
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
  /** Comes once the settings were read. */
  readonly ready: Promise<void>;
  readonly changed: ISignal<IRunChoices, void>;
}

export const IRunChoices = new Token<IRunChoices>(
  'aml-jupyter:IRunChoices',
  'What the user has chosen about runs in the settings.'
);

const USUAL: Choices = {
  groupBy: 'none',
  sortBy: 'live',
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
    return new RunChoices(registry);
  }
};

class RunChoices implements IRunChoices {
  now = USUAL;
  readonly ready: Promise<void>;
  readonly changed = new Signal<this, void>(this);

  constructor(registry: ISettingRegistry | null) {
    // Where they cannot be read, the usual choices hold.
    this.ready = this.read(registry).catch(() => undefined);
  }

  private async read(registry: ISettingRegistry | null): Promise<void> {
    const settings = await registry?.load(SCHEMA);
    const take = (): void => {
      this.now = { ...USUAL, ...(settings?.composite as Partial<Choices> | undefined) };
      this.changed.emit();
    };
    settings?.changed.connect(take);
    take();
  }
}
