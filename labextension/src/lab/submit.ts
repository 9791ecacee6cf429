import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { FileDialog, IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { Form, FormAnswer } from '../api';
import { Commands, IRunService } from '../tokens';
import { namedOrPicked, ONE_RUN } from './asked';
import type { Texts } from './formfield';
import { batchIcon, runCellIcon, runsIcon } from './icons';
import { openAction } from './opening';
import { Server } from './server';
import { complain, tell } from './told';

const SUBMITTED = /\.(py|ipynb|ya?ml|runconfig)$/;
const REMEMBERED = 'aml-jupyter:form';

/** What a form is about: a file, or a run that is done again. */
type About =
  | { readonly path: string; readonly batch?: boolean }
  | { readonly place: string; readonly run: string };

/** Forms that submit files, notebooks as batches, and runs once more. */
export const submitPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:submit',
  description: 'Submits scripts, notebooks and run configurations as runs, by a form.',
  autoStart: true,
  requires: [IRunService],
  optional: [
    IDocumentManager,
    IFileBrowserFactory,
    INotebookTracker,
    IStateDB,
    ICommandPalette,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    documents: IDocumentManager | null,
    browsers: IFileBrowserFactory | null,
    notebooks: INotebookTracker | null,
    state: IStateDB | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const server = new Server(service);
    const forms = new Forms(app, service, documents, state, trans);
    addSubmit(app, server, forms, browsers, documents, trans);
    addRerun(app, server, forms, trans);
    if (notebooks !== null) {
      addBatch(app, server, forms, notebooks, trans);
    }
    for (const command of [Commands.submit, Commands.rerunWith, Commands.runNotebook]) {
      if (app.commands.hasCommand(command)) {
        palette?.addItem({ command, category: trans.__('Runs') });
      }
    }
  }
};

/** Opens forms, and tells what came of them. */
class Forms {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly service: IRunService,
    private readonly documents: IDocumentManager | null,
    private readonly state: IStateDB | null,
    private readonly trans: TranslationBundle
  ) {}

  async open(about: About, titled: (form: Form) => string): Promise<void> {
    const { service, trans } = this;
    if ('path' in about) {
      await this.save(about.path);
    }
    const form = await service.get<Form>('options', { ...about });
    const key = 'path' in about ? `${REMEMBERED}:${about.path}` : '';
    const owner = {
      send: (what: string, values: Texts) =>
        service.post<FormAnswer>('submit', { do: what, ...about, values }),
      remember: (values: Texts) => void (key && this.state?.save(key, values))
    };
    const remembered = key ? await this.state?.fetch(key).catch(() => undefined) : undefined;
    const { FormDialog } = await import('./form');
    const dialog = new FormDialog(form, titled(form), texts(remembered), owner, trans);
    const answer = await dialog.open();
    if (answer !== null) {
      await this.told(answer);
    }
  }

  private async told(answer: FormAnswer): Promise<void> {
    const { place, run } = answer;
    const { service } = this;
    if (!service.places.some(({ key }) => key === place)) {
      // The workspace was made for this run.
      await service.lookAgain();
    }
    tell(answer.said, openAction(this.app, place, run, this.trans));
  }

  /** What is submitted is the file on the disk: changes that are not saved would be left out. */
  private async save(path: string): Promise<void> {
    const widget = this.documents?.findWidget(path);
    const context = widget && this.documents?.contextForWidget(widget);
    if (context?.model.dirty) {
      await context.save();
    }
  }
}

/** What was remembered, of which nothing can be relied on. */
function texts(found: unknown): Texts {
  const pairs = Object.entries((found ?? {}) as Record<string, unknown>);
  return Object.fromEntries(
    pairs.filter((pair): pair is [string, string[]] => {
      const value = pair[1];
      return Array.isArray(value) && value.every(text => typeof text === 'string');
    })
  );
}

function addSubmit(
  app: JupyterFrontEnd,
  server: Server,
  forms: Forms,
  browsers: IFileBrowserFactory | null,
  documents: IDocumentManager | null,
  trans: TranslationBundle
): void {
  const selected = (): string | null => {
    const items = [...(browsers?.tracker.currentWidget?.selectedItems() ?? [])];
    return items.length === 1 && SUBMITTED.test(items[0]!.path) ? items[0]!.path : null;
  };
  app.commands.addCommand(Commands.submit, {
    label: args => {
      if (args.isLauncher) {
        return trans.__('New Run');
      }
      return args.path || args.isContext
        ? trans.__('Submit as Run…')
        : trans.__('Submit File as Run…');
    },
    caption: trans.__('Submit a script, a notebook or a run configuration, by a form'),
    icon: args => (args.isLauncher ? runsIcon : args.isContext ? runCellIcon : undefined),
    describedBy: {
      args: {
        type: 'object',
        properties: {
          path: {
            type: 'string',
            description: 'The .py, .ipynb, .yml, .yaml or .runconfig file; asked for if left out.'
          },
          isContext: { type: 'boolean', description: 'Take what is selected in the file browser.' },
          isLauncher: { type: 'boolean', description: 'Label and icon for the launcher.' }
        }
      }
    },
    isEnabled: () => !server.isReadOnly,
    isVisible: args => !args.isContext || selected() !== null,
    execute: async (args: ReadonlyPartialJSONObject) => {
      try {
        const given = typeof args.path === 'string' ? args.path : null;
        const path = given ?? (args.isContext ? selected() : await asked(documents, trans));
        if (path !== null) {
          await forms.open({ path }, () => trans.__('Submit %1 as a run', PathExt.basename(path)));
        }
      } catch (error) {
        complain(error);
      }
    }
  });
  server.changed.connect(() => app.commands.notifyCommandChanged(Commands.submit));
}

/** The file that the user picks. */
async function asked(
  documents: IDocumentManager | null,
  trans: TranslationBundle
): Promise<string | null> {
  if (documents === null) {
    throw new Error(trans.__('Name the file that shall be submitted.'));
  }
  const result = await FileDialog.getOpenFiles({
    manager: documents,
    title: trans.__('Script, notebook or run configuration to submit'),
    filter: model => (model.type === 'directory' || SUBMITTED.test(model.path) ? {} : null)
  });
  return (result.button.accept && result.value?.[0]?.path) || null;
}

function addRerun(
  app: JupyterFrontEnd,
  server: Server,
  forms: Forms,
  trans: TranslationBundle
): void {
  const { service } = server;
  const label = trans.__('Run Again with Changes…');
  app.commands.addCommand(Commands.rerunWith, {
    label,
    caption: trans.__('Submit the source of the run once more, with other options'),
    describedBy: { args: ONE_RUN },
    isEnabled: () => service.place !== undefined && !server.isReadOnly,
    execute: async (args: ReadonlyPartialJSONObject) => {
      try {
        const found = await namedOrPicked(args, service, label, trans);
        if (found !== null) {
          const about = { place: found.place, run: found.runs[0]! };
          await forms.open(about, form => trans.__('Run %1 again', form.title));
        }
      } catch (error) {
        complain(error);
      }
    }
  });
  server.changed.connect(() => app.commands.notifyCommandChanged(Commands.rerunWith));
}

function addBatch(
  app: JupyterFrontEnd,
  server: Server,
  forms: Forms,
  notebooks: INotebookTracker,
  trans: TranslationBundle
): void {
  app.commands.addCommand(Commands.runNotebook, {
    label: trans.__('Run This Notebook as a Batch…'),
    caption: trans.__('Run this notebook as a batch: with sets of parameters, each as a run'),
    icon: batchIcon,
    describedBy: { args: { type: 'object', properties: {} } },
    isEnabled: () => notebooks.currentWidget !== null && !server.isReadOnly,
    execute: async () => {
      const path = notebooks.currentWidget?.context.path;
      try {
        if (path !== undefined) {
          const title = trans.__('Run %1 as a batch', PathExt.basename(path));
          await forms.open({ path, batch: true }, () => title);
        }
      } catch (error) {
        complain(error);
      }
    }
  });
  notebooks.currentChanged.connect(() => app.commands.notifyCommandChanged(Commands.runNotebook));
  server.changed.connect(() => app.commands.notifyCommandChanged(Commands.runNotebook));
}
