import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { runCardPlugin } from './runcard';

const plugins: JupyterFrontEndPlugin<void>[] = [runCardPlugin];

export default plugins;
