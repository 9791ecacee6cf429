import { LabIcon } from '@jupyterlab/ui-components';

export { runsIcon } from '../panel/icon';

const drawn = (name: string, path: string): LabIcon =>
  new LabIcon({
    name: `aml-jupyter:${name}`,
    svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="#616161">${path}</g></svg>`
  });

/** A cell that takes off on its own. */
export const runCellIcon = drawn(
  'run-cell',
  '<path d="M3 4h11v2H5v12h14v-6h2v8H3z"/><path d="M9 9v6l5-3z"/><path d="M15.5 3H21v5.5h-2V6.4l-3.3 3.3-1.4-1.4L17.6 5h-2.1z"/>'
);

/** Several sheets, one of which runs. */
export const batchIcon = drawn(
  'run-batch',
  '<path d="M7 2h14v14h-2V4H7z"/><path d="M3 6h14v16H3zm2 2v12h10V8z"/><path d="M8 10.5v7l5-3.5z"/>'
);
