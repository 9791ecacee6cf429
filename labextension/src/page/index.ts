import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { WidgetTracker } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { NotebookPanel, type Notebook } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Commands, IRunService } from '../tokens';
import { REVEAL_CELL_EVENT } from '../view/reveal';
import { speakAsPage } from '../view/words';
import type { Elsewhere, PageArguments, RunPage } from './run_page';

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

type Parts = typeof import('./run_page');

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
    // Fetched when a page is opened first: JupyterLab need not wait for charts that nobody looks at.
    const parts = await import('./run_page');
    const known = this.find(place, asked.run);
    const page = known ?? this.made(parts, { ...asked, place });
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

  private made({ RunContent, RunPage, nameTab }: Parts, args: PageArguments): RunPage {
    const content = new RunContent(this.service, args, this.elsewhere(args.place), this.trans);
    const page = new RunPage(content);
    nameTab(page, () => content.args.name ?? '');
    content.changed.connect(() => void this.tracker.save(page));
    return page;
  }

  private async placeKey(): Promise<string> {
    await this.service.hello;
    return this.service.place?.key ?? '';
  }
}

interface CellAsked {
  readonly place?: string;
  readonly run: string;
  /** The line in the cell, from 1. */
  readonly line: number;
  /** The cell of a notebook that was executed as a whole, from 1; else 0. */
  readonly number: number;
}

/** Lead to the cell that a run was made from, when the view of a failed run asks for it. */
function listenForCells(app: JupyterFrontEnd, service: IRunService): void {
  window.addEventListener(REVEAL_CELL_EVENT, event => {
    const asked = (event as CustomEvent<CellAsked>).detail;
    const place = asked.place ?? service.place?.key;
    if (place === undefined || !app.commands.hasCommand(Commands.revealCell)) {
      return;
    }
    event.preventDefault();
    void app.commands
      .execute(Commands.revealCell, { place, run: asked.run })
      .then((found: unknown) =>
        found instanceof NotebookPanel ? putCursor(found.content, asked) : undefined
      );
  });
}

/** Put the cursor where the error came from. */
async function putCursor(notebook: Notebook, { line, number }: CellAsked): Promise<void> {
  if (number > 0) {
    const isExecuted = ({ model }: Notebook['widgets'][number]): boolean =>
      model.type === 'code' && model.sharedModel.getSource().trim() !== '';
    const cell = notebook.widgets.filter(isExecuted)[number - 1];
    if (cell === undefined) {
      return;
    }
    notebook.activeCellIndex = notebook.widgets.indexOf(cell);
    await notebook.scrollToItem(notebook.activeCellIndex, 'smart');
  }
  const editor = notebook.activeCell?.editor;
  if (editor && line <= editor.lineCount) {
    notebook.mode = 'edit';
    editor.setCursorPosition({ line: line - 1, column: 0 });
    editor.focus();
  }
}

export const pagePlugins: JupyterFrontEndPlugin<unknown>[] = [runPage];
