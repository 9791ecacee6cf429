import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyJSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Widget } from '@lumino/widgets';

import type { RunList, RunRow } from '../api';
import { element } from '../dom';
import { lookOf } from '../states';
import type { IRunService } from '../tokens';
import { ago } from './times';

const OFFERED = 50;

/** Runs that a command is about. */
export interface Asked {
  readonly place: string;
  readonly runs: readonly string[];
}

/** What commands about one run take. */
export const ONE_RUN: ReadonlyJSONObject = {
  type: 'object',
  properties: {
    place: {
      type: 'string',
      description: 'The key of the workspace; that which is looked at if left out.'
    },
    run: { type: 'string', description: 'The id of the run; it is asked for if left out.' }
  }
};

/** What commands about several runs take. */
export const RUNS: ReadonlyJSONObject = {
  type: 'object',
  properties: {
    ...(ONE_RUN.properties as ReadonlyJSONObject),
    runs: { type: 'array', items: { type: 'string' }, description: 'The ids of several runs.' }
  }
};

/** The runs that arguments name; `null` if they name none. */
export function named(args: ReadonlyPartialJSONObject, service: IRunService): Asked | null {
  const place = typeof args.place === 'string' ? args.place : service.place?.key;
  const runs = Array.isArray(args.runs) ? args.runs : [args.run];
  const ids = runs.filter((run): run is string => typeof run === 'string' && run !== '');
  return place === undefined || ids.length === 0 ? null : { place, runs: ids };
}

/** The runs that arguments name, or one that the user picks; `null` if none is picked. */
export async function namedOrPicked(
  args: ReadonlyPartialJSONObject,
  service: IRunService,
  title: string,
  trans: TranslationBundle
): Promise<Asked | null> {
  const found = named(args, service);
  const place = service.place?.key;
  if (found !== null || place === undefined) {
    return found;
  }
  const { rows } = await service.get<RunList>('runs', { place, limit: OFFERED, offset: 0 });
  const run = await pick(rows, title, trans);
  return run === null ? null : { place, runs: [run] };
}

async function pick(
  rows: readonly RunRow[],
  title: string,
  trans: TranslationBundle
): Promise<string | null> {
  const body = new Picker(rows, trans);
  const buttons = [
    Dialog.cancelButton(),
    ...(rows.length > 0 ? [Dialog.okButton({ label: trans.__('Choose') })] : [])
  ];
  const options = { title, body, buttons, focusNodeSelector: 'select' };
  const result = await showDialog<string | null>(options);
  return result.button.accept ? result.value : null;
}

/** Recent runs to choose one from. */
class Picker extends Widget implements Dialog.IBodyWidget<string | null> {
  private readonly select: HTMLSelectElement;

  constructor(rows: readonly RunRow[], trans: TranslationBundle) {
    super();
    this.addClass('aml-Picker');
    const options = rows.map(row => {
      const when = ago(row.created, trans);
      const words = `${row.name || row.id} · ${lookOf(row.status, trans).label} · ${when}`;
      return element('option', { value: row.id }, words);
    });
    const size = String(Math.min(12, Math.max(2, rows.length)));
    this.select = element('select', { size, 'aria-label': trans.__('Recent runs') }, ...options);
    if (rows.length === 0) {
      this.node.append(trans.__('There are no runs in this workspace yet.'));
      return;
    }
    this.select.selectedIndex = 0;
    this.node.append(this.select);
  }

  getValue(): string | null {
    return this.select.value || null;
  }
}
