import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

export const panelPlugins: JupyterFrontEndPlugin<unknown>[] = [];
