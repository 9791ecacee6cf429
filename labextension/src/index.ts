import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { livePlugin } from './live';
import { openFilePlugin } from './openfile';
import { runCardPlugin } from './runcard';

const plugins: JupyterFrontEndPlugin<void>[] = [runCardPlugin, livePlugin, openFilePlugin];

export default plugins;
