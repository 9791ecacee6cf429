import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

/** Filled in by the service. */
export const servicePlugins: JupyterFrontEndPlugin<unknown>[] = [];
