import { LabIcon } from '@jupyterlab/ui-components';

/** Runs, one of which goes on: the sidebar's sign. */
export const runsIcon = new LabIcon({
  name: 'aml-jupyter:runs',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M4 3.5v8l6.5-4z"/>
    <rect x="12.5" y="6.4" width="8.5" height="2.2" rx="1.1"/>
    <circle cx="6" cy="16.5" r="2.6"/>
    <rect x="12.5" y="15.4" width="8.5" height="2.2" rx="1.1"/>
  </g>
</svg>`
});
