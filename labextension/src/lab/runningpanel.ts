import { ILabShell, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRunningSessionManagers, type IRunningSessions } from '@jupyterlab/running';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { find } from '@lumino/algorithm';
import { Signal } from '@lumino/signaling';

import type { RunList, RunRow } from '../api';
import { ticking } from '../format';
import { hasEnded, lookOf } from '../states';
import { Commands, IRunService } from '../tokens';
import { Follower } from './follower';
import { runsIcon } from './icons';
import { canOpen } from './opening';
import { complain } from './told';

const PANEL = 'jp-running-sessions';
const MOST = 200;
const LIVE = 'state:live';

/** A section of runs in the panel of JupyterLab that lists what is running. */
export const runningPanelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:running-panel',
  description: 'Lists the runs that go on in the panel of running terminals and kernels.',
  autoStart: true,
  requires: [IRunService],
  optional: [IRunningSessionManagers, ILabShell, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    managers: IRunningSessionManagers | null,
    shell: ILabShell | null,
    translator: ITranslator | null
  ) => {
    if (managers === null) {
      return;
    }
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const runs = new LiveRuns(app, service, trans);
    managers.add(runs);
    const look = (): void => {
      const panel = find(app.shell.widgets('left'), ({ id }) => id === PANEL);
      const other = panel ?? find(app.shell.widgets('right'), ({ id }) => id === PANEL);
      runs.isShown = other?.isVisible ?? false;
    };
    shell?.layoutModified.connect(look);
    void app.restored.then(look);
  }
};

/** The runs that have not ended; they are followed only while the panel is on screen. */
class LiveRuns implements IRunningSessions.IManager {
  readonly name: string;
  readonly shutdownLabel: string;
  readonly shutdownAllLabel: string;
  readonly shutdownAllConfirmationText: string;
  readonly runningChanged = new Signal<this, void>(this);
  private rows = new Map<string, RunRow>();
  private readonly follower: Follower;
  private place: string | undefined;
  private shown = false;

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly service: IRunService,
    private readonly trans: TranslationBundle
  ) {
    this.name = trans.__('Runs');
    this.shutdownLabel = trans.__('Cancel');
    this.shutdownAllLabel = trans.__('Cancel All');
    this.shutdownAllConfirmationText = trans.__(
      'Are you sure you want to cancel all runs that go on? What they have written is kept.'
    );
    const listener = {
      changed: (rows: readonly RunRow[], gone: readonly string[]) => this.take(rows, gone),
      behind: () => void this.list()
    };
    this.follower = new Follower(service, 'rows', listener, place => this.move(place));
  }

  set isShown(is: boolean) {
    if (is !== this.shown) {
      this.shown = is;
      this.follower.wanted = is;
    }
  }

  running(): IRunningSessions.IRunningItem[] {
    return [...this.rows.values()]
      .sort((one, other) => other.created - one.created)
      .map(row => this.itemOf(row));
  }

  shutdownAll(): void {
    [...this.rows.values()].forEach(row => this.cancel(row.id));
  }

  refreshRunning(): void {
    if (this.shown) {
      void this.list();
    }
  }

  private itemOf(row: RunRow): IRunningSessions.IRunningItem {
    const { trans } = this;
    const state = lookOf(row.status, trans).label;
    const begun = row.started ?? row.created;
    const since = ticking(Math.max(0, Date.now() / 1000 - begun));
    return {
      open: () => {
        if (canOpen(this.app)) {
          void this.app.commands.execute(Commands.open, { place: this.place, run: row.id });
        }
      },
      shutdown: () => this.cancel(row.id),
      icon: () => runsIcon,
      label: () => row.name || row.id,
      labelTitle: () => `${row.id}\n${row.experiment} · ${state} · ${since}`,
      detail: () => state
    };
  }

  private cancel(run: string): void {
    this.app.commands.execute(Commands.cancel, { place: this.place, run }).catch(complain);
  }

  private move(place: string | undefined): void {
    if (place !== undefined) {
      this.place = place;
      void this.list();
    }
  }

  private take(rows: readonly RunRow[], gone: readonly string[]): void {
    gone.forEach(id => this.rows.delete(id));
    for (const row of rows) {
      if (hasEnded(row.status) || row.parent !== null) {
        this.rows.delete(row.id);
      } else {
        this.rows.set(row.id, row);
      }
    }
    this.runningChanged.emit();
  }

  private async list(): Promise<void> {
    const { place } = this;
    if (place === undefined) {
      return;
    }
    try {
      const query = { place, filter: LIVE, limit: MOST, offset: 0 };
      const { rows } = await this.service.get<RunList>('runs', query);
      this.rows = new Map();
      this.take(rows, []);
    } catch {
      // It is told where runs are listed; here the section stays as it was.
    }
  }
}
