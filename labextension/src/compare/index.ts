import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, type MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { Commands, IRunService } from '../tokens';
import { speakAsPage } from '../view/words';
import { compareIcon } from './icon';
import type { ComparePage } from './page';

/** Pages that compare runs, and the command that opens them. */
const compare: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:compare',
  description: 'Shows several runs against each other: what differs, their charts, their sources.',
  autoStart: true,
  requires: [IRunService],
  optional: [ICommandPalette, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    speakAsPage(trans);
    const tracker = new WidgetTracker<MainAreaWidget<ComparePage>>({ namespace: 'aml-compare' });
    app.commands.addCommand(Commands.compare, {
      label: args => (hasRuns(args) ? trans.__('Compare') : args['run'] === undefined ? trans.__('Compare Runs…') : trans.__('Compare with…')),
      icon: args => (args['isPalette'] === true ? undefined : inMenu),
      caption: trans.__('Show runs against each other: what differs, their charts, their sources'),
      describedBy: { args: ARGUMENTS },
      execute: async args => {
        // Fetched when runs are compared first, as the pages of runs are.
        const { Opener } = await import('./opener');
        return new Opener(app, service, tracker, trans).open(args);
      }
    });
    palette?.addItem({ command: Commands.compare, category: trans.__('Runs') });
    void restorer?.restore(tracker, {
      command: Commands.compare,
      name: ({ content }) => content.id,
      args: ({ content }) => ({ ...content.model.choices, page: content.id })
    });
  }
};

/** Placed as the signs of JupyterLab's own menus are. */
const inMenu = compareIcon.bindprops({ stylesheet: 'menuItem' });

const ARGUMENTS = {
  type: 'object',
  properties: {
    place: { type: 'string', description: 'The key of the workspace; the one looked at if left out.' },
    run: { type: 'string', description: 'The id of a run that others are picked for.' },
    runs: { type: 'array', items: { type: 'string' }, description: 'The ids of the runs.' },
    filter: { type: 'string', description: 'A filter line, instead of ids: all runs that match.' }
  }
} as const;

function hasRuns(args: ReadonlyPartialJSONObject): boolean {
  return Array.isArray(args['runs']) || typeof args['filter'] === 'string';
}

export const comparePlugins: JupyterFrontEndPlugin<unknown>[] = [compare];
