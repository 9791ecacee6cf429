import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

export const labPlugins: JupyterFrontEndPlugin<unknown>[] = [];
