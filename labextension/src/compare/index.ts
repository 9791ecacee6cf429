import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  ICommandPalette,
  MainAreaWidget,
  Notification,
  WidgetTracker
} from '@jupyterlab/apputils';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { Commands, IRunService, ServerError } from '../tokens';
import { speakAsPage } from '../view/words';
import { compareIcon } from './icon';
import { CompareModel, FIRST, MOST, type Choices } from './model';
import type { ComparePage } from './page';
import { matching, pickRuns } from './picker';

const NAMESPACE = 'aml-compare';
let pages = 0;

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
    const tracker = new WidgetTracker<MainAreaWidget<ComparePage>>({ namespace: NAMESPACE });
    const opener = new Opener(app, service, tracker, trans);
    app.commands.addCommand(Commands.compare, {
      label: args => (hasRuns(args) ? trans.__('Compare') : args['run'] === undefined ? trans.__('Compare Runs…') : trans.__('Compare with…')),
      icon: args => (args['isPalette'] === true ? undefined : compareIcon),
      caption: trans.__('Show runs against each other: what differs, their charts, their sources'),
      describedBy: { args: ARGUMENTS },
      execute: args => opener.open(args)
    });
    palette?.addItem({ command: Commands.compare, category: trans.__('Runs') });
    void restorer?.restore(tracker, {
      command: Commands.compare,
      name: ({ content }) => content.id,
      args: ({ content }) => ({ ...content.model.choices, page: content.id })
    });
  }
};

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

/** Opens pages. */
class Opener {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly service: IRunService,
    private readonly tracker: WidgetTracker<MainAreaWidget<ComparePage>>,
    private readonly trans: TranslationBundle
  ) {}

  /** Open a page with the runs named, all that a filter matches, or those that the reader picks. */
  async open(args: ReadonlyPartialJSONObject): Promise<void> {
    const { trans } = this;
    const place = typeof args['place'] === 'string' ? args['place'] : await this.placeNow();
    if (place === undefined) {
      Notification.info(trans.__('There is no workspace yet whose runs could be compared.'));
      return;
    }
    try {
      const runs = await this.runsOf(place, args);
      if (runs !== undefined) {
        await this.show({ ...choicesOf(args), place, runs }, args['page']);
      }
    } catch (error) {
      const { message, hint } = error instanceof ServerError ? error.problem : { message: String(error), hint: '' };
      Notification.error(`${message} ${hint}`.trim());
    }
  }

  private async placeNow(): Promise<string | undefined> {
    await this.service.hello.catch(() => undefined);
    return this.service.place?.key;
  }

  private async runsOf(
    place: string,
    args: ReadonlyPartialJSONObject
  ): Promise<readonly string[] | undefined> {
    const { service, trans } = this;
    const { run, runs, filter } = args;
    if (Array.isArray(runs)) {
      const ids = [...new Set(runs.map(String))];
      this.tellCut(ids.length);
      return ids.slice(0, MOST);
    }
    if (typeof run === 'string') {
      const others = await pickRuns(service, place, [run], trans);
      return others && [run, ...others];
    }
    if (typeof filter !== 'string') {
      return pickRuns(service, place, [], trans);
    }
    const found = await matching(service, place, filter);
    this.tellCut(found.total);
    if (found.ids.length === 0) {
      Notification.info(trans.__('No run matches: %1', filter));
    }
    return found.ids.length === 0 ? undefined : found.ids;
  }

  private tellCut(total: number): void {
    if (total > MOST) {
      Notification.info(this.trans.__('A page compares %1 runs: the first of %2.', MOST, total));
    }
  }

  private async show(choices: Choices, id: unknown): Promise<void> {
    const { app, tracker, trans } = this;
    // Fetched when a page is opened first, as the pages of runs are.
    const { ComparePage } = await import('./page');
    const model = new CompareModel(this.service, trans, choices);
    const content = new ComparePage(model, {
      open: run => void app.commands.execute(Commands.open, { place: choices.place, run })
    });
    content.id = typeof id === 'string' ? id : `${NAMESPACE}-${Date.now().toString(36)}-${++pages}`;
    content.title.label = trans.__('Compare');
    content.title.icon = compareIcon;
    const widget = new MainAreaWidget({ content });
    widget.id = content.id;
    widget.title.closable = true;
    widget.title.caption = trans.__('Runs against each other');
    model.stateChanged.connect((_, what) => {
      if (what === 'choices') {
        void tracker.save(widget);
      }
    });
    void tracker.add(widget);
    app.shell.add(widget, 'main');
    app.shell.activateById(widget.id);
  }
}

/** What a page that was left remembers, whatever else stands in the arguments. */
function choicesOf(args: ReadonlyPartialJSONObject): Omit<Choices, 'place' | 'runs'> {
  const kept = Object.entries(FIRST).filter(([name, usual]) => {
    const value = args[name];
    return Array.isArray(usual)
      ? Array.isArray(value)
      : value !== undefined && value !== null && (usual === null || typeof value === typeof usual);
  });
  const drawn = Array.isArray(args['drawn']) ? { drawn: args['drawn'].map(String) } : {};
  return { ...FIRST, ...Object.fromEntries(kept.map(([name]) => [name, args[name]])), ...drawn };
}

export const comparePlugins: JupyterFrontEndPlugin<unknown>[] = [compare];
