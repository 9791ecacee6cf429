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
import { addStyles } from './styles';
import cards from '../style/cards.raw.css';
import lab from '../style/lab.raw.css';
import panel from '../style/panel.raw.css';

// Pages and forms bring theirs along when the first of them is opened.
addStyles({ panel, lab, cards });

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
