import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { comparePlugins } from './compare';
import { labPlugins } from './lab';
import { livePlugin } from './live';
import { openFilePlugin } from './openfile';
import { openNotebookPlugin } from './opennotebook';
import { pagePlugins } from './page';
import { panelPlugins } from './panel';
import { runCardPlugin } from './runcard';
import { servicePlugins } from './service';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  runCardPlugin,
  livePlugin,
  openFilePlugin,
  openNotebookPlugin,
  ...servicePlugins,
  ...panelPlugins,
  ...pagePlugins,
  ...comparePlugins,
  ...labPlugins
];

export default plugins;
