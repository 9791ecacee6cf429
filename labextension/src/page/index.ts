import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { WidgetTracker } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Commands, IRunService } from '../tokens';
import { REVEAL_CELL_EVENT } from '../view/failure_view';
import { speakAsPage } from '../view/words';
import { RunContent, RunPage, type Elsewhere, type PageArguments } from './run_page';

/** Shows runs in the main area, each on a page of its own. */
const runPage: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:run-page',
  description: 'Shows a run in the main area: charts, log, files, code, facts, and why it failed.',
  autoStart: true,
  requires: [IRunService],
  optional: [ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ) => {
    // A page of Notebook 7 is one document, and has no room for another.
    if (PageConfig.getOption('notebookPage') !== '') {
      return;
    }
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    speakAsPage(trans);
    const pages = new Pages(app, service, trans);
    app.commands.addCommand(Commands.open, {
      label: trans.__('Open Run'),
      caption: trans.__('Show a run in the main area'),
      isVisible: args => typeof args.run === 'string',
      execute: args => pages.open(args as unknown as PageArguments),
      describedBy: { args: ARGUMENTS }
    });
    void restorer?.restore(pages.tracker, {
      command: Commands.open,
      args: page => ({ ...page.content.args }),
      name: page => page.id
    });
    listenForCells(app, service);
  }
};

const ARGUMENTS = {
  type: 'object' as const,
  required: ['run'],
  properties: {
    place: { type: 'string' as const, description: 'The key of the workspace; the chosen one.' },
    run: { type: 'string' as const, description: 'The id of the run.' },
    name: { type: 'string' as const, description: 'What to call it until that is known.' },
    tab: { type: 'string' as const, description: 'The part of the page to begin with.' }
  }
};

/** The pages that are open, one for each run. */
class Pages {
  readonly tracker = new WidgetTracker<RunPage>({ namespace: 'aml-run-page' });
  private readonly elsewhere: (place: string) => Elsewhere;

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly service: IRunService,
    private readonly trans: ReturnType<ITranslator['load']>
  ) {
    const { commands } = app;
    this.elsewhere = place => ({
      open: run => void commands.execute(Commands.open, { place, run }),
      compare: runs => void commands.execute(Commands.compare, { place, runs: [...runs] })
    });
  }

  /** Show the page of a run; the one there is, if there is one. */
  async open(asked: PageArguments): Promise<RunPage> {
    const place = asked.place || (await this.placeKey());
    const known = this.find(place, asked.run);
    const page = known ?? this.made({ ...asked, place });
    if (known === undefined) {
      this.app.shell.add(page, 'main', { type: 'Run' });
      await this.tracker.add(page);
    }
    this.app.shell.activateById(page.id);
    return page;
  }

  private find(place: string, run: string): RunPage | undefined {
    return this.tracker.find(page => {
      const { args } = page.content;
      return args.place === place && args.run === run;
    });
  }

  private made(args: PageArguments): RunPage {
    const content = new RunContent(this.service, args, this.elsewhere(args.place), this.trans);
    const page = new RunPage(content);
    content.changed.connect(() => void this.tracker.save(page));
    return page;
  }

  private async placeKey(): Promise<string> {
    await this.service.hello;
    return this.service.place?.key ?? '';
  }
}

/** Lead to the cell that a run was made from, when the view of a failed run asks for it. */
function listenForCells(app: JupyterFrontEnd, service: IRunService): void {
  window.addEventListener(REVEAL_CELL_EVENT, event => {
    const detail = (event as CustomEvent<{ place?: string; run: string; line: number }>).detail;
    const place = detail.place ?? service.place?.key;
    if (place !== undefined && app.commands.hasCommand(Commands.revealCell)) {
      event.preventDefault();
      void app.commands.execute(Commands.revealCell, { ...detail, place });
    }
  });
}

export const pagePlugins: JupyterFrontEndPlugin<unknown>[] = [runPage];
