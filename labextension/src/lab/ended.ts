import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';

import type { RunDetail, RunRow } from '../api';
import { duration } from '../format';
import { Commands, IRunService, pathOf } from '../tokens';
import { Follower } from './follower';
import { openAction } from './opening';
import { IRunChoices, type Choices } from './settings';

const TOLD = 'aml-jupyter:told';
const MOST_REMEMBERED = 200;
const LONGEST_ERROR = 200;
const BRIEFLY = 8000;
/** More at once are told in one message. */
const MOST_AT_ONCE = 3;

/** A message when a run ends. */
export const endedPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:ended',
  description: 'Tells when a run has ended.',
  autoStart: true,
  requires: [IRunService, IRunChoices],
  optional: [IStateDB, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    choices: IRunChoices,
    state: IStateDB | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const told = new Told(state);
    const herald = new Herald(app, service, trans);
    let place: string | undefined;
    const ended = async (rows: readonly RunRow[]): Promise<void> => {
      const key = place;
      const wanted = rows.filter(row => isWanted(row, choices.now));
      const news = await told.newOf(wanted);
      if (key !== undefined && news.length > 0) {
        herald.tell(key, news);
      }
    };
    const follower = new Follower(
      service,
      'counts',
      { ended: rows => void ended(rows) },
      key => (place = key)
    );
    const heed = (): void => {
      follower.wanted = choices.now.notify !== 'off';
    };
    choices.changed.connect(heed);
    void app.restored.then(heed);
  }
};

function isWanted(row: RunRow, { notify, notifyOf, notifyAfter }: Choices): boolean {
  const failed = row.status === 'Failed';
  const took = (row.ended ?? 0) - (row.started ?? row.created);
  return (
    row.parent === null &&
    (notifyOf === 'all' || row.notebook !== null) &&
    (failed || (notify === 'all' && took >= notifyAfter))
  );
}

/** Remembers which runs were told of, so that none is told again after the page was reloaded. */
class Told {
  private ids: Promise<string[]>;

  constructor(private readonly state: IStateDB | null) {
    this.ids = this.load();
  }

  async newOf(rows: readonly RunRow[]): Promise<RunRow[]> {
    const before = await this.ids;
    const news = rows.filter(({ id }) => !before.includes(id));
    if (news.length > 0) {
      const ids = [...before, ...news.map(({ id }) => id)].slice(-MOST_REMEMBERED);
      this.ids = Promise.resolve(ids);
      void this.state?.save(TOLD, ids);
    }
    return news;
  }

  private async load(): Promise<string[]> {
    const found: unknown = await this.state?.fetch(TOLD).catch(() => undefined);
    return Array.isArray(found) ? found.filter(id => typeof id === 'string') : [];
  }
}

/** Tells what became of runs. */
class Herald {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly service: IRunService,
    private readonly trans: TranslationBundle
  ) {}

  tell(place: string, rows: readonly RunRow[]): void {
    if (rows.length > MOST_AT_ONCE) {
      this.tellTogether(rows);
      return;
    }
    rows.forEach(row => void this.tellOne(place, row));
  }

  private tellTogether(rows: readonly RunRow[]): void {
    const { trans } = this;
    const failed = rows.filter(({ status }) => status === 'Failed').length;
    const words = trans.__('%1 runs have ended, %2 of them failed.', rows.length, failed);
    const actions = [
      {
        label: trans.__('Show'),
        caption: trans.__('Show the list of runs'),
        callback: () => void this.app.commands.execute(Commands.showPanel)
      }
    ];
    Notification.emit(words, failed > 0 ? 'warning' : 'success', { autoClose: BRIEFLY, actions });
  }

  private async tellOne(place: string, row: RunRow): Promise<void> {
    const { trans } = this;
    const failed = row.status === 'Failed';
    const error = failed ? await this.errorOf(place, row.id) : '';
    const open = openAction(this.app, place, row.id, trans);
    const actions = open === undefined ? [] : [open];
    const kind = failed ? 'error' : row.status === 'Completed' ? 'success' : 'info';
    // A failure stays until it was seen.
    const options = { autoClose: failed ? (false as const) : BRIEFLY, actions };
    Notification.emit(`${this.sentence(row)} ${error}`.trim(), kind, options);
  }

  private sentence(row: RunRow): string {
    const { trans } = this;
    const name = row.name || row.id;
    const took = duration(Math.max(0, (row.ended ?? 0) - (row.started ?? row.created)));
    switch (row.status) {
      case 'Completed':
        return trans.__('%1 completed after %2.', name, took);
      case 'Failed':
        return trans.__('%1 failed after %2.', name, took);
      default:
        return trans.__('%1 was canceled after %2.', name, took);
    }
  }

  private async errorOf(place: string, run: string): Promise<string> {
    try {
      const { error } = await this.service.get<RunDetail>(pathOf('run', place, run));
      const [line = ''] = error.trim().split('\n');
      return line.length > LONGEST_ERROR ? `${line.slice(0, LONGEST_ERROR)}…` : line;
    } catch {
      return '';
    }
  }
}
