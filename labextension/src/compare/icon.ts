import { LabIcon } from '@jupyterlab/ui-components';

/** Two runs beside each other. */
export const compareIcon = new LabIcon({
  name: 'aml-jupyter:compare',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="#616161">' +
    '<path d="M4 20V9h5v11zM15 20V4h5v16zM11.2 2h1.6v20h-1.6z"/></g></svg>'
});
