import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { Cell, CodeCellModel, ICodeCellModel } from '@jupyterlab/cells';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { Debouncer } from '@lumino/polling';

import type { RunDetail } from '../api';
import { element } from '../dom';
import { isRunCard, RUN_CARD_MIME } from '../runcard';
import { hasEnded, lookOf, signOf } from '../states';
import { Commands, IRunService, pathOf } from '../tokens';
import { canOpen } from './opening';
import { IRunChoices } from './settings';

const MARK = 'aml-CellMark';
/** Milliseconds in which changes of outputs become one. */
const SOON = 250;

/** A run that a cell has, as its output says. */
interface CellRun {
  readonly id: string;
  readonly name: string;
  readonly status: string;
}

/** Small signs at cells that have a run. */
export const marksPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:cell-marks',
  description: 'Marks cells that have a run with its state; the mark opens the page of the run.',
  autoStart: true,
  requires: [IRunService, IRunChoices],
  optional: [INotebookTracker, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    choices: IRunChoices,
    tracker: INotebookTracker | null,
    translator: ITranslator | null
  ) => {
    if (tracker === null) {
      return;
    }
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const all = new Set<Marks>();
    const add = (panel: NotebookPanel): void => {
      const open = (place: string, run: string, cell: Cell): void => {
        if (canOpen(app)) {
          void app.commands.execute(Commands.open, { place, run });
        } else {
          cell.node.querySelector('.jp-Cell-outputWrapper')?.scrollIntoView({ block: 'nearest' });
        }
      };
      const marks = new Marks(panel, service, choices, open, trans);
      all.add(marks);
      panel.disposed.connect(() => {
        marks.dispose();
        all.delete(marks);
      });
    };
    tracker.forEach(add);
    tracker.widgetAdded.connect((_, panel) => add(panel));
    // Whether a notebook can be seen is not told by the notebook itself.
    const look = (): void => all.forEach(marks => marks.refresh());
    tracker.currentChanged.connect(look);
    choices.changed.connect(look);
    service.placesChanged.connect(look);
  }
};

/** The marks of one notebook. */
class Marks {
  private readonly soon = new Debouncer(() => this.draw(), SOON);
  /** What is known better than outputs tell: a saved output may be of long ago. */
  private readonly known = new Map<string, string>();
  private readonly asked = new Set<string>();
  private readonly heard = new WeakSet<object>();
  private followed: IDisposable | null = null;
  private place: string | undefined;

  constructor(
    private readonly panel: NotebookPanel,
    private readonly service: IRunService,
    private readonly choices: IRunChoices,
    private readonly open: (place: string, run: string, cell: Cell) => void,
    private readonly trans: TranslationBundle
  ) {
    void panel.context.ready.then(() => {
      panel.content.model?.cells.changed.connect(this.refresh, this);
      panel.content.modelContentChanged.connect(this.refresh, this);
      this.refresh();
    });
  }

  refresh(): void {
    void this.soon.invoke().catch(() => undefined);
  }

  dispose(): void {
    this.soon.dispose();
    this.followed?.dispose();
  }

  private draw(): void {
    if (this.panel.isDisposed) {
      return;
    }
    const isOn = this.choices.now.cellMarks;
    this.findPlace();
    let goOn = false;
    for (const cell of this.panel.content.widgets) {
      this.listen(cell);
      const run = isOn ? runOf(cell) : null;
      const status = run === null ? '' : this.statusOf(run);
      this.mark(cell, run, status);
      goOn ||= run !== null && !hasEnded(status);
    }
    this.follow(goOn && this.panel.isVisible);
  }

  /** The workspace that the notebook's runs are in: the nearest above it. */
  private findPlace(): void {
    const path = this.panel.context.localPath;
    const above = this.service.places.filter(
      ({ project }) => project === '' || path.startsWith(`${project}/`)
    );
    above.sort((one, other) => other.project.length - one.project.length);
    this.place = (above[0] ?? this.service.place)?.key;
  }

  private listen(cell: Cell): void {
    const { model } = cell;
    if (model.type === 'code' && !this.heard.has(model)) {
      this.heard.add(model);
      (model as CodeCellModel).outputs.changed.connect(this.refresh, this);
    }
  }

  private statusOf({ id, status }: CellRun): string {
    if (hasEnded(status)) {
      return status;
    }
    if (!this.known.has(id) && this.place !== undefined && this.panel.isVisible) {
      void this.ask(this.place, id);
    }
    return this.known.get(id) ?? status;
  }

  /** How a run is whose output was saved while it went on. */
  private async ask(place: string, id: string): Promise<void> {
    if (this.asked.has(id)) {
      return;
    }
    this.asked.add(id);
    try {
      const { row } = await this.service.get<RunDetail>(pathOf('run', place, id));
      this.know(id, row.status);
    } catch {
      // The run is not, or no more, in this workspace: what the output says stands.
    }
  }

  private know(id: string, status: string): void {
    if (this.known.get(id) !== status) {
      this.known.set(id, status);
      this.refresh();
    }
  }

  private follow(isWanted: boolean): void {
    if (!isWanted || this.place === undefined) {
      this.followed?.dispose();
      this.followed = null;
    } else {
      this.followed ??= this.service.live.watch(this.place, 'rows', {
        changed: rows => {
          rows.filter(({ id }) => this.asked.has(id)).forEach(row => this.know(row.id, row.status));
        },
        behind: () => {
          this.asked.clear();
          this.known.clear();
          this.refresh();
        }
      });
    }
  }

  private mark(cell: Cell, run: CellRun | null, status: string): void {
    const place = cell.node.querySelector(':scope > .jp-Cell-inputWrapper');
    const there = cell.node.querySelector<HTMLElement>(`.${MARK}`);
    const key = run === null ? '' : `${run.id} ${status} ${run.name}`;
    if (run === null || place === null) {
      there?.remove();
    } else if (there === null || there.dataset.key !== key || there.parentElement !== place) {
      const hadFocus = there === document.activeElement && there !== null;
      const made = this.made(cell, run, status);
      made.dataset.key = key;
      there?.remove();
      place.append(made);
      if (hadFocus) {
        made.focus();
      }
    }
  }

  private made(cell: Cell, { id, name }: CellRun, status: string): HTMLElement {
    const { trans } = this;
    const look = lookOf(status, trans);
    const words = trans.__('Run %1: %2. Open its page.', name, look.label);
    const button = element(
      'button',
      { type: 'button', class: `${MARK} aml-mod-${look.tone}`, title: words, 'aria-label': words },
      signOf(look)
    );
    button.addEventListener('mousedown', event => event.stopPropagation());
    button.addEventListener('click', () => {
      if (this.place !== undefined) {
        this.open(this.place, id, cell);
      }
    });
    return button;
  }
}

/** The run whose card is in the output of a cell: the last one, if there are several. */
function runOf(cell: Cell): CellRun | null {
  if (cell.model.type !== 'code') {
    return null;
  }
  const { outputs } = cell.model as ICodeCellModel;
  for (let at = outputs.length - 1; at >= 0; at--) {
    const card: unknown = outputs.get(at).data[RUN_CARD_MIME];
    if (isRunCard(card)) {
      return { id: card.id, name: card.display_name || card.id, status: card.status };
    }
  }
  return null;
}
