import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  Clipboard,
  Dialog,
  ICommandPalette,
  showDialog,
  type Notification
} from '@jupyterlab/apputils';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Widget } from '@lumino/widgets';

import type { ActionDone, RunDetail } from '../api';
import { element } from '../dom';
import { lookOf } from '../states';
import { Commands, IRunService, pathOf } from '../tokens';
import { namedOrPicked, ONE_RUN, RUNS, type Asked } from './asked';
import { openAction } from './opening';
import { Server } from './server';
import { complain, tell } from './told';

const MOST_NAMED = 8;

/** A command about runs. */
export interface Deed {
  readonly label: string;
  readonly caption: string;
  /** Whether the server must allow changes. */
  readonly changes: boolean;
  readonly several: boolean;
  /** Whether there is what it needs besides; yes where it is left out. */
  isPossible?(): boolean;
  /** What comes of it, for those who call the command. */
  do(asked: Asked): Promise<unknown>;
}

/** Commands that the server carries out: cancel, run again, archive, restore, delete; and copying ids. */
export const runCommandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:run-commands',
  description: 'Adds commands that cancel, repeat, archive and delete runs.',
  autoStart: true,
  requires: [IRunService],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const server = new Server(service);
    palette?.addItem({ command: Commands.showPanel, category: trans.__('Runs') });
    for (const [id, deed] of Object.entries(deedsOf(app, service, trans))) {
      addDeed(app, id, deed, server, trans);
      palette?.addItem({ command: id, category: trans.__('Runs') });
    }
  }
};

/** Register a command about runs; errors are told. */
export function addDeed(
  app: JupyterFrontEnd,
  id: string,
  deed: Deed,
  server: Server,
  trans: TranslationBundle
): void {
  const { service } = server;
  app.commands.addCommand(id, {
    label: deed.label,
    caption: deed.caption,
    describedBy: { args: deed.several ? RUNS : ONE_RUN },
    isEnabled: () =>
      service.place !== undefined &&
      !(deed.changes && server.isReadOnly) &&
      (deed.isPossible?.() ?? true),
    execute: async (args: ReadonlyPartialJSONObject) => {
      try {
        const asked = await namedOrPicked(args, service, deed.label, trans);
        return asked === null ? undefined : await deed.do(asked);
      } catch (error) {
        complain(error);
        return undefined;
      }
    }
  });
  server.changed.connect(() => app.commands.notifyCommandChanged(id));
}

function deedsOf(
  app: JupyterFrontEnd,
  service: IRunService,
  trans: TranslationBundle
): Readonly<Record<string, Deed>> {
  const simply =
    (action: string) =>
    async ({ place, runs }: Asked): Promise<void> => {
      await act(service, place, runs, action, trans);
    };
  const changes = { changes: true, several: true };
  return {
    [Commands.cancel]: {
      label: trans.__('Cancel Run'),
      caption: trans.__('Ask the run to end; what it has written is kept'),
      ...changes,
      do: simply('cancel')
    },
    [Commands.rerun]: {
      label: trans.__('Run Again'),
      caption: trans.__('Submit the same source and options as a new run'),
      ...changes,
      do: async ({ place, runs }) => {
        await act(service, place, runs, 'rerun', trans, run => openAction(app, place, run, trans));
      }
    },
    [Commands.copyId]: {
      label: trans.__('Copy Id of Run'),
      caption: trans.__('Put the id of the run into the clipboard'),
      changes: false,
      several: true,
      do: async ({ runs }) => {
        Clipboard.copyToSystem(runs.join('\n'));
        tell(trans.__('Copied: %1', runs.join(', ')));
      }
    },
    [Commands.archive]: {
      label: trans.__('Archive Run'),
      caption: trans.__('Leave the run out of lists; nothing of it is lost'),
      ...changes,
      do: simply('archive')
    },
    [Commands.restore]: {
      label: trans.__('Restore Run from Archive'),
      caption: trans.__('Show the run in lists again'),
      ...changes,
      do: simply('restore')
    },
    [Commands.delete]: {
      label: trans.__('Delete Run…'),
      caption: trans.__('Remove the run and all its files, after asking'),
      ...changes,
      do: async ({ place, runs }) => {
        if (await isSure(service, place, runs, trans)) {
          await act(service, place, runs, 'delete', trans);
        }
      }
    }
  };
}

/** Do something to each run, and tell in one message what came of it. */
async function act(
  service: IRunService,
  place: string,
  runs: readonly string[],
  action: string,
  trans: TranslationBundle,
  offer?: (run: string) => Notification.IAction | undefined
): Promise<void> {
  const done: ActionDone[] = [];
  try {
    for (const run of runs) {
      done.push(await service.post<ActionDone>(pathOf('run', place, run, action)));
    }
  } finally {
    const [first] = done;
    if (first !== undefined) {
      const rest = done.length - 1;
      const more = rest > 0 ? ` ${trans._n('And one more.', 'And %1 more.', rest)}` : '';
      tell(first.said + more, first.run !== null && rest === 0 ? offer?.(first.run) : undefined);
    }
  }
}

/** Ask before runs are deleted; what would be lost is named. */
async function isSure(
  service: IRunService,
  place: string,
  runs: readonly string[],
  trans: TranslationBundle
): Promise<boolean> {
  const shown = await Promise.all(
    runs.slice(0, MOST_NAMED).map(run => service.get<RunDetail>(pathOf('run', place, run)))
  );
  const lines = shown.map(({ row }) => {
    const name = row.name && row.name !== row.id ? `${row.name} (${row.id})` : row.id;
    return element('li', {}, `${name}, ${lookOf(row.status, trans).label}`);
  });
  const more = runs.length - shown.length;
  const rest = more > 0 ? [element('li', {}, trans._n('one more', '%1 more', more))] : [];
  const body = element(
    'div',
    { class: 'aml-Sure' },
    element('ul', {}, ...lines, ...rest),
    element(
      'p',
      {},
      trans.__(
        'Metrics, logs, outputs and the record of what was run are removed, those of child runs as well. This cannot be undone. Models that were registered stay.'
      )
    )
  );
  const result = await showDialog({
    title: trans._n('Delete this run?', 'Delete these %1 runs?', runs.length),
    body: new Widget({ node: body }),
    buttons: [
      Dialog.cancelButton(),
      Dialog.warnButton({
        label: trans.__('Delete'),
        ariaLabel: trans.__('Delete for good')
      })
    ],
    defaultButton: 0
  });
  return result.button.accept;
}
