import { LabIcon } from '@jupyterlab/ui-components';

import type { StateLook } from '../states';

const known = new Map<string, LabIcon>();

/** The sign of a state as the icon of a tab. */
export function stateIcon(look: StateLook): LabIcon {
  const name = `aml-jupyter:page-${look.tone}-${look.path.length}`;
  let icon = known.get(name);
  if (icon === undefined) {
    const sign = `<g class="aml-Tab-sign aml-mod-${look.tone}"><circle cx="8" cy="8" r="7"/><path d="${look.path}"/></g>`;
    const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">${sign}</svg>`;
    icon = new LabIcon({ name, svgstr });
    known.set(name, icon);
  }
  return icon;
}
