import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

export const comparePlugins: JupyterFrontEndPlugin<unknown>[] = [];
