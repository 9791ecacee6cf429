import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IStateDB } from '@jupyterlab/statedb';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';

import { IRunService, type ServerError } from '../tokens';
import { Close } from './live';
import { RunService, type Memory } from './runservice';

const STATE = 'aml-jupyter:place';

/** Asks the server about runs, on behalf of everything else. */
const service: JupyterFrontEndPlugin<IRunService> = {
  id: 'aml-jupyter:service',
  description: 'Asks the Jupyter server about runs, and hears from it what changes.',
  autoStart: true,
  provides: IRunService,
  optional: [IStateDB, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    state: IStateDB | null,
    translator: ITranslator | null
  ): IRunService => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const made = new RunService(app.serviceManager.serverSettings, trans, memoryIn(state));
    let message = '';
    let shown = '';
    const tell = (error: ServerError | null): void => {
      if (message !== (error?.message ?? '')) {
        Notification.dismiss(shown || undefined);
        message = error?.message ?? '';
        shown = error === null ? '' : notify(error, trans);
      }
    };
    made.problemFound.connect((_, error) => tell(error));
    made.live.connectedChanged.connect((_, connected) => connected && tell(null));
    void app.restored
      .then(() => made.hello)
      .catch((error: ServerError) => {
        // A server that does not answer is JupyterLab's own to tell.
        if (error.status !== 0) {
          tell(error);
        }
      });
    return made;
  }
};

function notify(error: ServerError, trans: TranslationBundle): string {
  const reload = {
    label: trans.__('Reload'),
    caption: trans.__('Reload the page'),
    callback: () => window.location.reload()
  };
  return Notification.error(`${error.message} ${error.problem.hint}`, {
    autoClose: false,
    actions: error.status === Close.otherVersion ? [reload] : []
  });
}

function memoryIn(state: IStateDB | null): Memory {
  return {
    load: async () => {
      const found = await state?.fetch(STATE).catch(() => undefined);
      return typeof found === 'string' ? found : undefined;
    },
    save: place => void state?.save(STATE, place)
  };
}

export const servicePlugins: JupyterFrontEndPlugin<unknown>[] = [service];
