import type { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';

import type { RunRow } from '../api';
import { hasEnded } from '../states';
import { Commands } from '../tokens';

/** A command that does something with the runs that are picked; null is a line between two. */
type Entry = string | null;

/** What can be done with these runs, as it fits their states. */
export function entriesFor(rows: readonly RunRow[]): Entry[] {
  const isOne = rows.length === 1;
  const live = rows.some(row => !hasEnded(row.status));
  const ended = rows.every(row => hasEnded(row.status));
  const archived = rows.every(row => row.archived);
  return [
    ...(isOne ? [Commands.open, Commands.attach] : []),
    Commands.compare,
    null,
    ...(live ? [Commands.cancel] : []),
    ...(isOne ? [Commands.rerun, Commands.rerunWith] : []),
    null,
    Commands.copyId,
    ...(isOne ? [Commands.openFolder] : []),
    ...(isOne && rows[0]!.notebook !== null ? [Commands.revealCell] : []),
    null,
    archived ? Commands.restore : Commands.archive,
    ...(ended ? [Commands.delete] : [])
  ];
}

/** Open the menu of runs; the commands find their runs in their arguments. */
export function openMenu(
  commands: CommandRegistry,
  place: string,
  rows: readonly RunRow[],
  x: number,
  y: number
): void {
  const menu = new Menu({ commands });
  menu.addClass('aml-Menu');
  for (const entry of entriesFor(rows)) {
    if (entry === null) {
      menu.addItem({ type: 'separator' });
    } else if (commands.hasCommand(entry)) {
      menu.addItem({ command: entry, args: argumentsFor(place, rows.map(row => row.id)) });
    }
  }
  // Its command is executed after it has closed.
  menu.aboutToClose.connect(() => void setTimeout(() => menu.dispose()));
  menu.open(x, y);
}

/** What commands take: one run by name, several as a list. */
export function argumentsFor(place: string, runs: readonly string[]): { place: string; run: string } | { place: string; runs: string[] } {
  return runs.length === 1 ? { place, run: runs[0]! } : { place, runs: [...runs] };
}
