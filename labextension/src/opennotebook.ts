import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { PageConfig } from '@jupyterlab/coreutils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';

import { ExecutedNotebook, type NotebookSource } from './executednotebook';

/** What the live view asks for when an executed notebook is to be shown. */
export const OPEN_NOTEBOOK_EVENT = 'aml:open-notebook';

/**
 * Shows executed notebooks, which lie in a folder that the server does not show: what is in them
 * comes from the kernel of the live view.
 */
export const openNotebookPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:open-notebook',
  description: 'Shows the executed notebooks of runs, while they grow.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null
  ) => {
    // A page of Notebook 7 is one document, and has no room for another.
    if (PageConfig.getOption('notebookPage') !== '') {
      return;
    }
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const tabs = new NotebookTabs(app, rendermime, trans);
    window.addEventListener(OPEN_NOTEBOOK_EVENT, event => {
      const source = sourceOf((event as CustomEvent<unknown>).detail);
      if (source !== null) {
        event.preventDefault();
        tabs.open(source);
      }
    });
  }
};

function sourceOf(detail: unknown): NotebookSource | null {
  const asked = detail as Partial<NotebookSource> | null;
  const isWhole =
    typeof asked?.run === 'string' &&
    typeof asked.path === 'string' &&
    typeof asked.title === 'string' &&
    typeof asked.read === 'function';
  return isWhole ? (asked as NotebookSource) : null;
}

/** A tab for each notebook, beside the notebook that the live view is in. */
class NotebookTabs {
  private readonly shown = new Map<string, ExecutedNotebook>();

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly rendermime: IRenderMimeRegistry,
    private readonly trans: TranslationBundle
  ) {}

  open(source: NotebookSource): void {
    const key = `${source.run}/${source.path}`;
    let tab = this.shown.get(key);
    if (tab === undefined) {
      tab = new ExecutedNotebook(source, this.rendermime, this.trans);
      tab.id = `aml-notebook-${key}`;
      this.add(tab);
      this.shown.set(key, tab);
      tab.disposed.connect(() => this.shown.delete(key));
    } else {
      tab.follow(source);
    }
    this.app.shell.activateById(tab.id);
  }

  /** The first one beside what is there, others behind that one. */
  private add(tab: ExecutedNotebook): void {
    const [other] = this.shown.values();
    const place = other ? { ref: other.id, mode: 'tab-after' } : { mode: 'split-right' };
    this.app.shell.add(tab, 'main', place as never);
  }
}
