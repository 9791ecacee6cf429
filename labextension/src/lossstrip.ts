import type { TranslationBundle } from '@jupyterlab/translation';

import { copyButton } from './card';
import { element } from './dom';
import type { Loss } from './kernelwatch';
import { isRunCard } from './runcard';

// What is copied may be run in a cell: only what is certainly an id, whoever wrote the notebook.
const RUN_ID = /^\w[\w.-]{0,254}$/;

/** The line above a view whose kernel is gone: what it means for the run, and how to see it live again. */
export function lossStrip(
  loss: Loss,
  data: unknown,
  trans: TranslationBundle
): HTMLElement {
  const run = isRunCard(data) && RUN_ID.test(data.id) ? data : null;
  const strip = element('div', { class: 'aml-Loss', role: 'status' });
  strip.append(element('span', {}, told(loss, run?.ended === null, trans)));
  if (run !== null) {
    const command = element('code', { class: 'aml-RunId' }, `%aml_attach ${run.id}`);
    // A new kernel knows no magics yet.
    const cell = `%load_ext aml_jupyter\n%aml_attach ${run.id}`;
    const button = copyButton(command, trans.__('Copy the command'), trans, cell);
    strip.append(' ', command, ' ', trans.__('shows it live again.'), button);
  }
  return strip;
}

function told(loss: Loss, goesOn: boolean, trans: TranslationBundle): string {
  if (loss === 'restarted') {
    return goesOn
      ? trans.__('The kernel was restarted; the run goes on.')
      : trans.__('The kernel was restarted.');
  }
  return goesOn
    ? trans.__('The kernel has ended; the run goes on.')
    : trans.__('The kernel has ended.');
}
