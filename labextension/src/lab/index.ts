import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { endedPlugin } from './ended';
import { launcherPlugin } from './launcher';
import { marksPlugin } from './marks';
import { notebookCommandsPlugin } from './notebookcommands';
import { runCommandsPlugin } from './runcommands';
import { runningPanelPlugin } from './runningpanel';
import { choicesPlugin } from './settings';
import { statusBarPlugin } from './statusbar';
import { submitPlugin } from './submit';

/** What tells of runs elsewhere in JupyterLab. */
export const labPlugins: JupyterFrontEndPlugin<unknown>[] = [
  choicesPlugin,
  runCommandsPlugin,
  notebookCommandsPlugin,
  submitPlugin,
  launcherPlugin,
  runningPanelPlugin,
  endedPlugin,
  statusBarPlugin,
  marksPlugin
];
