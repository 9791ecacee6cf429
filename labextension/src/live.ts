import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { KernelWatch } from './kernelwatch';
import { LiveOutput } from './liveoutput';
import { RUN_CARD_MIME } from './runcard';
import { WIDGET_MIME, WidgetDrawer } from './widgetslot';

/** Before the -10 of ipywidgets: whether a run is drawn by its widget or as a card is decided here. */
const RANK = -20;

/** Draws runs in notebooks: by their widgets where a kernel has these, else as cards. */
export const livePlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:live',
  description: 'Draws the live view of a run in notebooks whose kernel has it.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    // Unlike the notebook tracker, this comes before the outputs of the notebook are drawn.
    app.docRegistry.addWidgetExtension('Notebook', {
      createNew: (panel: Widget, context: DocumentRegistry.Context) => {
        const own = rendermimeOf(panel);
        // A second view of a notebook shares the registry of the first.
        if (own && own.getRank(RUN_CARD_MIME) !== RANK) {
          drawRuns(own, rendermime, context, trans);
        }
      }
    });
  }
};

/** The registry of a notebook panel; described by its shape, to do without the notebook's packages. */
function rendermimeOf(panel: Widget): IRenderMimeRegistry | undefined {
  type Drawing = { content?: { rendermime?: IRenderMimeRegistry } };
  return (panel as Drawing).content?.rendermime;
}

function drawRuns(
  own: IRenderMimeRegistry,
  shared: IRenderMimeRegistry,
  context: DocumentRegistry.Context,
  trans: TranslationBundle
): void {
  const kernel = new KernelWatch(context.sessionContext);
  context.disposed.connect(() => kernel.dispose());
  // Until ipywidgets has put in its own, a notebook has the factory that all share.
  const placeholder = shared.getFactory(WIDGET_MIME);
  const drawer = new WidgetDrawer(own, placeholder, context.sessionContext.ready);
  own.addFactory(
    {
      // Widgets are drawn only in outputs that are trusted, and cards are drawn as text nodes.
      safe: true,
      mimeTypes: [RUN_CARD_MIME],
      createRenderer: () => new LiveOutput(drawer, kernel, trans)
    },
    RANK
  );
}
