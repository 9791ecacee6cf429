import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { livePlugin } from './live';
import { openFilePlugin } from './openfile';
import { openNotebookPlugin } from './opennotebook';
import { runCardPlugin } from './runcard';

const plugins: JupyterFrontEndPlugin<void>[] = [
  runCardPlugin,
  livePlugin,
  openFilePlugin,
  openNotebookPlugin
];

export default plugins;
