import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, ICommandPalette } from '@jupyterlab/apputils';
import type { Cell } from '@jupyterlab/cells';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import {
  INotebookTracker,
  NotebookActions,
  NotebookPanel,
  type Notebook
} from '@jupyterlab/notebook';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';

import type { CellPlace, RunDetail } from '../api';
import { compareLine } from '../magics';
import { Commands, IRunService, pathOf } from '../tokens';
import { runCellIcon } from './icons';
import { addDeed } from './runcommands';
import { Server } from './server';
import { complain, inform, tell } from './told';

const LOAD = '%load_ext aml_jupyter';
const MAGIC = '%%aml_run';
const REVEALED = 'aml-mod-revealed';
const REVEALED_FOR = 2500;
/** Milliseconds that a kernel may take to say what it has loaded; it does not while it computes. */
const PATIENCE = 1500;

/** Commands between runs and notebooks: attach, reveal the cell, run a cell as a run. */
export const notebookCommandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:notebook-commands',
  description: 'Adds commands that attach notebooks to runs, find the cell of a run, and run cells.',
  autoStart: true,
  requires: [IRunService],
  optional: [INotebookTracker, IDefaultFileBrowser, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    tracker: INotebookTracker | null,
    browser: IDefaultFileBrowser | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const server = new Server(service);
    const { attach, revealCell, openFolder, runCell } = Commands;
    addReveal(app, server, trans);
    addOpenFolder(app, server, browser, trans);
    if (tracker !== null) {
      addAttach(app, server, tracker, trans);
      addInsert(app, server, tracker, trans);
      addRunCell(app, tracker, trans);
    }
    for (const command of [attach, revealCell, openFolder, runCell]) {
      if (app.commands.hasCommand(command)) {
        palette?.addItem({ command, category: trans.__('Runs') });
      }
    }
  }
};

function addAttach(
  app: JupyterFrontEnd,
  server: Server,
  tracker: INotebookTracker,
  trans: TranslationBundle
): void {
  const deed = {
    label: trans.__('Attach Run in Notebook'),
    caption: trans.__('Insert a cell that shows the run live into the notebook in front, and run it'),
    changes: false,
    several: false,
    do: async ({ runs }: { runs: readonly string[] }) => {
      const panel = tracker.currentWidget;
      if (panel === null) {
        throw new Error(trans.__('No notebook is open. Open the one that shall show the run.'));
      }
      await runLine(app, panel, `%aml_attach ${runs[0]}`);
    }
  };
  addDeed(app, Commands.attach, deed, server, trans);
}

function addInsert(
  app: JupyterFrontEnd,
  server: Server,
  tracker: INotebookTracker,
  trans: TranslationBundle
): void {
  const deed = {
    label: trans.__('Compare Runs in Notebook'),
    caption: trans.__('Insert a cell that compares the runs into the notebook used last, and run it'),
    changes: false,
    several: true,
    isPossible: () => tracker.currentWidget !== null,
    do: async ({ runs }: { runs: readonly string[] }) => {
      const panel = tracker.currentWidget;
      if (panel !== null) {
        await runLine(app, panel, compareLine(runs));
      }
    }
  };
  addDeed(app, Commands.insert, deed, server, trans);
  tracker.currentChanged.connect(() => app.commands.notifyCommandChanged(Commands.insert));
}

/** Show a line of ours in a new cell of a notebook. */
async function runLine(app: JupyterFrontEnd, panel: NotebookPanel, line: string): Promise<void> {
  app.shell.activateById(panel.id);
  const isLoaded = await hasMagics(panel);
  NotebookActions.insertBelow(panel.content);
  setSource(panel.content.activeCell, isLoaded ? line : `${LOAD}\n${line}`);
  await NotebookActions.run(panel.content, panel.sessionContext);
}

function addReveal(app: JupyterFrontEnd, server: Server, trans: TranslationBundle): void {
  const { service } = server;
  const deed = {
    label: trans.__('Reveal Cell of Run'),
    caption: trans.__('Open the notebook that the run was submitted from, at its cell'),
    changes: false,
    several: false,
    do: async ({ place, runs }: { place: string; runs: readonly string[] }) => {
      const detail = await service.get<RunDetail>(pathOf('run', place, runs[0]!));
      if (detail.cell !== null) {
        return reveal(app, detail.cell, trans);
      }
      if (detail.script !== null) {
        inform(trans.__('This run is of the whole file, not of a cell.'));
        return openedNotebook(app, detail.script);
      }
      inform(
        trans.__(
          'Where this run came from is not known, or is not below the folder that this server shows.'
        )
      );
      return null;
    }
  };
  addDeed(app, Commands.revealCell, deed, server, trans);
}

/** Open a file; the notebook once it is there, `null` of other files. */
async function openedNotebook(app: JupyterFrontEnd, path: string): Promise<NotebookPanel | null> {
  const panel: unknown = await app.commands.execute('docmanager:open', { path });
  if (!(panel instanceof NotebookPanel)) {
    // Notebook 7 opens another tab of the browser.
    return null;
  }
  await panel.context.ready;
  await panel.revealed;
  return panel;
}

/** Show a cell in its notebook, which is returned; `null` if it is no longer there. */
async function reveal(
  app: JupyterFrontEnd,
  place: CellPlace,
  trans: TranslationBundle
): Promise<NotebookPanel | null> {
  const panel = await openedNotebook(app, place.notebook);
  if (panel === null) {
    return null;
  }
  const index = indexOf(panel.content, place);
  if (index < 0) {
    inform(trans.__('The cell is no longer in %1: it was changed or deleted.', place.notebook));
    return null;
  }
  const { content } = panel;
  content.activeCellIndex = index;
  content.deselectAll();
  await content.scrollToItem(index, 'center');
  panel.activate();
  const { node } = content.widgets[index]!;
  node.classList.add(REVEALED);
  window.setTimeout(() => node.classList.remove(REVEALED), REVEALED_FOR);
  return panel;
}

/** Where the cell is now: by its id, else by the text that was run; -1 if it is gone. */
function indexOf(notebook: Notebook, { cell, text }: CellPlace): number {
  const models = notebook.widgets.map(({ model }) => model);
  const byId = models.findIndex(model => cell !== '' && model.id === cell);
  const wanted = text.trim();
  return byId >= 0 || wanted === ''
    ? byId
    : models.findIndex(model => plain(model.sharedModel.getSource()) === wanted);
}

/** The code of a cell without the magic above it. */
function plain(source: string): string {
  const text = source.trim();
  return text.startsWith('%%') ? text.slice((text + '\n').indexOf('\n')).trim() : text;
}

function addOpenFolder(
  app: JupyterFrontEnd,
  server: Server,
  browser: IDefaultFileBrowser | null,
  trans: TranslationBundle
): void {
  const { service } = server;
  const deed = {
    label: trans.__('Open Folder of Run'),
    caption: trans.__('Show the files of the run in the file browser, or say where they are'),
    changes: false,
    several: false,
    do: async ({ place, runs }: { place: string; runs: readonly string[] }) => {
      const detail = await service.get<RunDetail>(pathOf('run', place, runs[0]!));
      if (browser !== null && detail.folder !== null && (await isShown(app, detail.folder))) {
        await browser.model.cd(`/${detail.folder}`);
        await app.commands.execute('filebrowser:activate');
        return;
      }
      const { where } = detail;
      Clipboard.copyToSystem(where);
      tell(trans.__('The file browser does not show this folder. Its path was copied: %1', where));
    }
  };
  addDeed(app, Commands.openFolder, deed, server, trans);
}

/** Whether the server lets its files be browsed: most do not show hidden folders. */
async function isShown(app: JupyterFrontEnd, folder: string): Promise<boolean> {
  try {
    await app.serviceManager.contents.get(folder, { content: false });
    return true;
  } catch {
    return false;
  }
}

function addRunCell(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  trans: TranslationBundle
): void {
  app.commands.addCommand(Commands.runCell, {
    label: trans.__('Run This Cell as a Run'),
    caption: trans.__(
      'Run this cell as a run that outlives the notebook: %1 is put at its top',
      MAGIC
    ),
    icon: runCellIcon,
    describedBy: { args: { type: 'object', properties: {} } },
    isEnabled: () => tracker.activeCell?.model.type === 'code',
    execute: async () => {
      const panel = tracker.currentWidget;
      try {
        if (panel !== null) {
          await runAsRun(panel, trans);
        }
      } catch (error) {
        complain(error);
      }
    }
  });
  tracker.activeCellChanged.connect(() => app.commands.notifyCommandChanged(Commands.runCell));
}

async function runAsRun(panel: NotebookPanel, trans: TranslationBundle): Promise<void> {
  const { content } = panel;
  const cell = content.activeCell;
  const source = cell?.model.sharedModel.getSource() ?? '';
  const first = source.trimStart();
  if (first === '') {
    throw new Error(trans.__('The cell is empty. Write the code to run into it.'));
  }
  if (first.startsWith('%%') && !first.startsWith(MAGIC)) {
    const magic = first.split(/\s/, 1)[0]!;
    throw new Error(
      trans.__('The cell begins with %1, which cannot be combined with %2.', magic, MAGIC)
    );
  }
  if (!(await hasMagics(panel))) {
    NotebookActions.insertAbove(content);
    setSource(content.activeCell, LOAD);
    await NotebookActions.run(content, panel.sessionContext);
    content.activeCellIndex = content.widgets.findIndex(each => each === cell);
  }
  if (!first.startsWith(MAGIC)) {
    setSource(cell, `${MAGIC}\n${source}`);
  }
  await NotebookActions.run(content, panel.sessionContext);
}

/** A change like any that is typed: the notebook's undo takes it back. */
function setSource(cell: Cell | null, source: string): void {
  const model = cell?.model.sharedModel;
  model?.transact(() => model.setSource(source));
}

/** Whether the notebook's kernel has our magics; while it computes, whether the notebook asks for them. */
async function hasMagics(panel: NotebookPanel): Promise<boolean> {
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session?.kernel;
  if (!kernel) {
    return false;
  }
  const expression = "'aml_attach' in get_ipython().magics_manager.magics['line']";
  const asked = kernel.requestExecute({
    code: '',
    silent: true,
    store_history: false,
    user_expressions: { loaded: expression }
  }).done;
  const late = new Promise<null>(resolve => window.setTimeout(() => resolve(null), PATIENCE));
  const reply = await Promise.race([asked.catch(() => null), late]);
  if (reply === null || reply.content.status !== 'ok') {
    const cells = panel.content.widgets.map(({ model }) => model.sharedModel.getSource());
    return cells.some(text => text.includes(LOAD));
  }
  const told = reply.content.user_expressions.loaded as { data?: Record<string, string> };
  return told.data?.['text/plain'] === 'True';
}

