import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Notification } from '@jupyterlab/apputils';

import type { Words } from '../states';
import { Commands } from '../tokens';

/** Whether there is a page for runs: Notebook 7 has no room for one beside a notebook. */
export function canOpen(app: JupyterFrontEnd): boolean {
  return app.commands.hasCommand(Commands.open);
}

/** The button of a message that opens a run; none where runs have no page. */
export function openAction(
  app: JupyterFrontEnd,
  place: string | null,
  run: string | null,
  trans: Words
): Notification.IAction | undefined {
  if (place === null || run === null || !canOpen(app)) {
    return undefined;
  }
  return {
    label: trans.__('Open'),
    caption: trans.__('Open the page of the run'),
    callback: () => void app.commands.execute(Commands.open, { place, run })
  };
}
