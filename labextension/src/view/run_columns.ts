import { element } from '../dom';
import { duration, moment, remaining, ticking } from '../format';
import type { ChildRow, ChildTable, Progress } from '../protocol';
import { hasEnded } from '../states';
import { button, stateMark } from './controls';
import { trans } from './words';

export type Key = string | number | null;

/** A column of the table: what it is called, what it shows, and what it is sorted by. */
export interface Column {
  readonly name: string;
  readonly isNumber: boolean;
  readonly key: (row: ChildRow) => Key;
  /** All that the cell depends on: it is made anew when this changes. */
  readonly seen: (row: ChildRow) => unknown;
  readonly cell: (row: ChildRow) => Node | string;
  /** Whether the column has no heading, and is not sorted by. */
  readonly isPlain?: true;
}

/** Opens the executed notebook of a row. */
export type OpenNotebook = (row: ChildRow) => void;

/** The columns of a table of runs, or of the notebooks of a batch. */
export function columnsOf(table: ChildTable, open: OpenNotebook): Column[] {
  const areNotebooks = table.of === 'notebooks';
  const values = table.columns.map((column, index) => ({
    name: column.name,
    isNumber: column.kind === 'metric' || table.rows.some(row => row.numbers[index] != null),
    key: (row: ChildRow) => row.numbers[index] ?? (row.cells[index] || null),
    seen: (row: ChildRow) => row.cells[index],
    cell: (row: ChildRow) => row.cells[index] ?? ''
  }));
  return areNotebooks
    ? [nameColumn(trans.__('Notebook')), openColumn(open), state(), progress(), time(), ...values]
    : [nameColumn(trans.__('Run')), state(), started(), length(), ...values];
}

function nameColumn(name: string): Column {
  return {
    name,
    isNumber: false,
    key: row => row.name,
    seen: row => [row.name, row.id],
    cell: nameOf
  };
}

function state(): Column {
  return {
    name: trans.__('State'),
    isNumber: false,
    key: row => row.status,
    seen: row => row.status,
    cell: row => stateMark(row.status)
  };
}

function started(): Column {
  return {
    name: trans.__('Started'),
    isNumber: true,
    key: row => row.started,
    seen: row => row.started,
    cell: row => (row.started === null ? '' : moment(row.started))
  };
}

function length(): Column {
  return {
    name: trans.__('Duration'),
    isNumber: true,
    key: row => row.seconds,
    seen: row => row.seconds,
    cell: row => (row.seconds === null ? '' : duration(row.seconds))
  };
}

function progress(): Column {
  return {
    name: trans.__('Progress'),
    isNumber: false,
    key: row => row.progress?.done ?? (row.error || null),
    seen: row => [row.progress?.text, row.progress?.done, row.error, row.note],
    cell: row => {
      const note = row.note === '' ? null : element('span', { class: 'aml-v-muted' }, row.note);
      const words = row.progress === null ? errorOf(row.error) : progressOf(row.progress);
      return element('div', { class: 'aml-v-row-progress' }, ...words, note);
    }
  };
}

function time(): Column {
  return {
    name: trans.__('Time'),
    isNumber: true,
    key: row => row.seconds,
    seen: row => [row.seconds, row.progress?.left, row.status],
    cell: timeOf
  };
}

function openColumn(open: OpenNotebook): Column {
  return {
    name: trans.__('Executed notebook'),
    isNumber: false,
    isPlain: true,
    key: () => null,
    seen: row => [row.notebook, row.id],
    cell: row => (row.notebook === '' ? '' : openButton(row, open))
  };
}

function nameOf(row: ChildRow): HTMLElement {
  if (row.id === '') {
    return element('span', { class: 'aml-v-row-name' }, row.name);
  }
  // The click is heard by the row.
  const made = button(row.name, () => undefined, 'aml-v-quiet');
  made.title = trans.__('Open %1', row.id);
  return made;
}

function progressOf({ text, done }: Progress): HTMLElement[] {
  const percent = done === null ? 0 : Math.round(100 * Math.min(1, Math.max(0, done)));
  const filled = element('div', { style: `width: ${percent}%` });
  const bar = element(
    'div',
    {
      ...{ class: 'aml-v-bar', role: 'progressbar', 'aria-label': trans.__('Progress') },
      ...{ 'aria-valuemax': '100', 'aria-valuenow': String(percent) }
    },
    filled
  );
  return [bar, element('span', { class: 'aml-v-row-words', title: text }, text)];
}

/** The first line of what went wrong; all of it when it is opened. */
function errorOf(error: string): HTMLElement[] {
  if (error === '') {
    return [];
  }
  const first = error.split('\n')[0] ?? '';
  const summary = element('summary', { class: 'aml-v-row-error', title: error }, first);
  const made = element('details', {}, summary, element('pre', {}, error));
  made.addEventListener('click', event => event.stopPropagation());
  return [made];
}

function timeOf(row: ChildRow): Node | string {
  if (row.seconds === null) {
    return '';
  }
  const left = row.progress?.left ?? null;
  const took = hasEnded(row.status) ? duration(row.seconds) : ticking(row.seconds);
  if (left === null) {
    return took;
  }
  const muted = element('span', { class: 'aml-v-muted' }, ` · ${trans.__('%1 left', remaining(left))}`);
  return element('span', {}, took, muted);
}

function openButton(row: ChildRow, open: OpenNotebook): HTMLButtonElement {
  const made = button(trans.__('Open ↗'), () => undefined, 'aml-v-quiet');
  made.title = trans.__('Show the executed notebook, as far as it has come');
  made.setAttribute('aria-label', trans.__('Open the executed notebook of %1', row.name));
  made.addEventListener('click', event => {
    event.stopPropagation();
    open(row);
  });
  return made;
}

/** Numbers before words, and what is missing last, whichever way the rest goes. */
export function compared(one: Key, other: Key, isDescending: boolean): number {
  if (one === null || other === null) {
    return Number(one === null) - Number(other === null);
  }
  const order =
    typeof one === 'number' && typeof other === 'number'
      ? one - other
      : Number(typeof one === 'string') - Number(typeof other === 'string') ||
        String(one).localeCompare(String(other), undefined, { numeric: true });
  return isDescending ? -order : order;
}
