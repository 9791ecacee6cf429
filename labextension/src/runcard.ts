import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { cardOf } from './card';
import { element } from './dom';
import type { RunCard } from './protocol';

/** The type of the output that a run leaves in a notebook. */
export const RUN_CARD_MIME = 'application/vnd.aml.run+json';

// Below the -10 of ipywidgets, so that a live view wins outside notebooks (in them, live.ts decides),
// and before text/html.
const RANK = 0;

const SUPPORTED_VERSION = 1;

/** Draws run cards in notebooks, with a kernel or without one. */
export const runCardPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:run-card',
  description: 'Draws the state, metrics and log of a run saved in a notebook.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (
    _app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    rendermime.addFactory(runCardFactory(trans), RANK);
  }
};

function runCardFactory(trans: TranslationBundle): IRenderMime.IRendererFactory {
  return {
    // Everything is drawn as text nodes, so notebooks from others need no trust to show their cards.
    safe: true,
    mimeTypes: [RUN_CARD_MIME],
    createRenderer: () => new RunCardRenderer(trans)
  };
}

/** The output of one run; drawn again whenever its data changes. */
class RunCardRenderer extends Widget implements IRenderMime.IRenderer {
  constructor(private readonly trans: TranslationBundle) {
    super();
    this.addClass('aml-RunCard-host');
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.node.replaceChildren(drawn(model.data[RUN_CARD_MIME], this.trans));
    return Promise.resolve();
  }
}

/** The card that this data describes, or a note that says what to update where it cannot be read. */
export function drawn(data: unknown, trans: TranslationBundle): HTMLElement {
  if (isRunCard(data)) {
    return cardOf(data, trans);
  }
  const text = trans.__(
    'This run was saved by another version of aml_jupyter. Update aml_jupyter to see it.'
  );
  return element('p', { class: 'aml-RunCard-unreadable', role: 'note' }, text);
}

/** Whether the data is a run card of a version that can be drawn here. */
export function isRunCard(data: unknown): data is RunCard {
  const card = data as Partial<RunCard> | null | undefined;
  return (
    typeof card === 'object' &&
    card?.version === SUPPORTED_VERSION &&
    typeof card.id === 'string' &&
    Array.isArray(card.metrics)
  );
}
