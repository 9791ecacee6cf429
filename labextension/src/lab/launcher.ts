import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILauncher } from '@jupyterlab/launcher';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Commands, IRunService } from '../tokens';

/** A card in the launcher that starts a run. */
export const launcherPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:launcher',
  description: 'Adds a card to the launcher that submits a file as a run.',
  autoStart: true,
  requires: [IRunService],
  optional: [ILauncher, ITranslator],
  activate: (
    _app: JupyterFrontEnd,
    _service: IRunService,
    launcher: ILauncher | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    launcher?.add({
      command: Commands.submit,
      category: trans.__('Other'),
      args: { isLauncher: true },
      rank: 10
    });
  }
};
