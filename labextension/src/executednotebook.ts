import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Panel, Widget } from '@lumino/widgets';

import { copyButton } from './card';
import { element } from './dom';
import { NotebookCell, type Cell } from './notebookcell';

const EVERY = 1500;

/** An executed notebook of a run, and how to read it: what the live view's event holds. */
export interface NotebookSource {
  readonly run: string;
  readonly path: string;
  readonly title: string;
  /** What there is by now, or `null` if nothing is new; fails when nothing more can be read. */
  readonly read: (
    signal: AbortSignal
  ) => Promise<{ readonly content: unknown; readonly ended: boolean } | null>;
}

/** An executed notebook to be read, not changed; it grows while its run goes on. */
export class ExecutedNotebook extends Panel {
  private readonly state = element('span', { role: 'status' });
  private readonly cells = new Panel();
  private readonly drawn: NotebookCell[] = [];
  private reading = new AbortController();
  private timer = 0;

  constructor(
    source: NotebookSource,
    private readonly rendermime: IRenderMimeRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('aml-Executed');
    this.title.label = source.title;
    this.title.caption = `${source.run}: ${source.path}`;
    this.title.closable = true;
    this.addWidget(new Widget({ node: this.head(source) }));
    this.cells.addClass('aml-Executed-cells');
    this.cells.node.addEventListener('click', event => this.onClick(event));
    this.addWidget(this.cells);
    this.follow(source);
  }

  /** Read the notebook by this source from now on. */
  follow(source: NotebookSource): void {
    this.stop();
    this.reading = new AbortController();
    void this.read(source, this.reading.signal);
  }

  override dispose(): void {
    this.stop();
    super.dispose();
  }

  private stop(): void {
    this.reading.abort();
    window.clearTimeout(this.timer);
  }

  private head(source: NotebookSource): HTMLElement {
    const path = element('code', {}, `${source.run}/${source.path}`);
    return element(
      'div',
      { class: 'aml-Executed-head' },
      element('strong', {}, source.title),
      this.state,
      path,
      copyButton(path, this.trans.__('Copy the path of the notebook'), this.trans)
    );
  }

  private async read(source: NotebookSource, signal: AbortSignal): Promise<void> {
    try {
      // Who does not look need not be shown what is new.
      const part = this.isVisible || this.drawn.length === 0 ? await source.read(signal) : null;
      if (signal.aborted) {
        return;
      }
      if (part !== null) {
        this.draw(part.content);
        this.state.textContent = part.ended
          ? this.trans.__('as it ended')
          : this.trans.__('as far as it has come; it grows here');
      }
      if (part?.ended !== true) {
        this.timer = window.setTimeout(() => void this.read(source, signal), EVERY);
      }
    } catch (error) {
      if (!signal.aborted) {
        const why = error instanceof Error ? error.message : String(error);
        this.state.textContent = this.trans.__('no longer followed: %1', why);
      }
    }
  }

  private draw(content: unknown): void {
    const cells = cellsOf(content);
    const language = languageOf(content);
    // A cell may come in between, such as papermill's that tells of an error: what is behind is new.
    cells.forEach((cell, at) => {
      const known = this.drawn[at];
      if (known === undefined) {
        const made = new NotebookCell(this.rendermime, this.trans, language);
        this.drawn.push(made);
        this.cells.addWidget(made);
      }
      this.drawn[at]?.draw(cell);
    });
    this.drawn.splice(cells.length).forEach(cell => cell.dispose());
  }

  /** Links inside the notebook, such as papermill's to the cell that failed. */
  private onClick(event: Event): void {
    const link = event.target instanceof Element ? event.target.closest('a[href^="#"]') : null;
    const name = link?.getAttribute('href')?.slice(1);
    if (name) {
      event.preventDefault();
      event.stopPropagation();
      const named = [...this.node.querySelectorAll('[id], [data-jupyter-id]')];
      named
        .find(node => node.id === name || node.getAttribute('data-jupyter-id') === name)
        ?.scrollIntoView();
    }
  }
}

function cellsOf(content: unknown): readonly Cell[] {
  const notebook = content as { cells?: unknown } | null;
  return Array.isArray(notebook?.cells) ? (notebook.cells as Cell[]) : [];
}

function languageOf(content: unknown): string {
  type Metadata = { kernelspec?: { language?: unknown }; language_info?: { name?: unknown } };
  const { metadata } = content as { metadata?: Metadata };
  const name = metadata?.language_info?.name ?? metadata?.kernelspec?.language;
  return typeof name === 'string' && /^[\w+#-]+$/.test(name) ? name : 'python';
}
