import { element } from '../dom';
import { count, duration, moment } from '../format';
import type { ChildRow, ChildTable } from '../protocol';
import { button, setShown, setText, stateMark } from './controls';
import type { Part } from './part';
import type { Session } from './session';

type Key = string | number | null;

/** A column of the table: what it is called, what it shows, and what it is sorted by. */
interface Column {
  readonly name: string;
  readonly isNumber: boolean;
  readonly key: (row: ChildRow) => Key;
  readonly cell: (row: ChildRow) => Node | string;
}

/** The children of a run as a table that can be sorted; each opens where this run stands. */
export class RunsView implements Part {
  readonly node = element('div', { class: 'aml-v-runs-view' });
  private readonly picture = element('div', { class: 'aml-v-picture' });
  private readonly head = element('tr', {});
  private readonly body = element('tbody', {});
  private readonly more = element('p', { class: 'aml-v-muted' });
  private table: ChildTable = { columns: [], rows: [], more: 0, picture: '' };
  private sorted = '';
  private isDescending = false;
  private drawn = '';
  private pictured = '';

  constructor(private readonly session: Session, signal: AbortSignal) {
    const head = element('thead', {}, this.head);
    const table = element('table', { class: 'aml-v-table aml-v-sortable' }, head, this.body);
    const scroller = element('div', { class: 'aml-v-scroll' }, table);
    this.node.append(this.picture, scroller, this.more);
    session.onTold('children', told => told.children && this.take(told.children), signal);
    session.onOtherRun(() => this.reset(), signal);
    session.onTold('said', () => this.node.removeAttribute('aria-busy'), signal);
  }

  open(): void {
    const known = this.session.answer('children')?.children;
    setText(this.more, known === undefined ? 'Waiting for the kernel…' : '');
    if (known !== undefined) {
      this.take(known);
    }
    this.refresh();
  }

  refresh(): void {
    this.session.ask({ kind: 'children' });
  }

  private reset(): void {
    this.node.removeAttribute('aria-busy');
    this.sorted = '';
    this.take({ columns: [], rows: [], more: 0, picture: '' });
  }

  private take(table: ChildTable): void {
    this.table = table;
    if (this.pictured !== table.picture) {
      this.pictured = table.picture;
      // The kernel makes this SVG and escapes what is in it.
      this.picture.innerHTML = table.picture;
    }
    setShown(this.picture, table.picture !== '');
    const words = table.rows.length === 0 ? 'There are no child runs yet.' : '';
    setText(this.more, table.more > 0 ? `${count(table.more)} more runs are not listed.` : words);
    this.draw();
  }

  private draw(): void {
    const columns = columnsOf(this.table, row => this.name(row));
    const names = columns.map(column => column.name).join('\n');
    if (names !== this.drawn) {
      this.drawn = names;
      this.head.replaceChildren(...columns.map(column => this.heading(column)));
    }
    columns.forEach((column, index) => {
      const order = this.isDescending ? 'descending' : 'ascending';
      const isSorted = column.name === this.sorted;
      this.head.children[index]?.setAttribute('aria-sort', isSorted ? order : 'none');
    });
    this.drawRows(columns);
  }

  private drawRows(columns: readonly Column[]): void {
    const column = columns.find(({ name }) => name === this.sorted);
    const rows = [...this.table.rows];
    if (column !== undefined) {
      rows.sort((one, other) => compared(column.key(one), column.key(other), this.isDescending));
    }
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    const id = focused?.closest('tr')?.dataset.id;
    this.body.replaceChildren(...rows.map(row => this.row(row, columns)));
    if (id !== undefined) {
      const again = [...this.body.rows].find(row => row.dataset.id === id);
      again?.querySelector('button')?.focus({ preventScroll: true });
    }
  }

  private heading(column: Column): HTMLElement {
    const made = button(column.name, () => this.sort(column), 'aml-v-quiet');
    made.title = `Sort by ${column.name}`;
    return element('th', { scope: 'col', ...(column.isNumber ? RIGHT : {}) }, made);
  }

  private sort(column: Column): void {
    // The highest number is what one looks for most, but with names the first one.
    this.isDescending = this.sorted === column.name ? !this.isDescending : column.isNumber;
    this.sorted = column.name;
    this.draw();
  }

  private row(row: ChildRow, columns: readonly Column[]): HTMLElement {
    const cells = columns.map(column =>
      element('td', column.isNumber ? RIGHT : {}, column.cell(row))
    );
    const made = element('tr', { 'data-id': row.id }, ...cells);
    made.addEventListener('click', () => {
      // Who selects a text in the table does not want to go away from it.
      const selected = window.getSelection();
      if (selected?.isCollapsed !== false || !made.contains(selected.anchorNode)) {
        const isAsked = this.session.ask({ kind: 'open', run: row.id });
        this.node.setAttribute('aria-busy', String(isAsked));
      }
    });
    return made;
  }

  private name(row: ChildRow): HTMLElement {
    const made = element('button', { type: 'button', class: 'aml-v-button aml-v-quiet' }, row.name);
    made.title = `Open ${row.id}`;
    return made;
  }
}

const RIGHT = { class: 'aml-v-right' };

function columnsOf(table: ChildTable, name: (row: ChildRow) => Node): Column[] {
  return [
    { name: 'Run', isNumber: false, key: row => row.name, cell: name },
    { name: 'State', isNumber: false, key: row => row.status, cell: row => stateMark(row.status) },
    { name: 'Started', isNumber: true, key: row => row.started, cell: row => started(row) },
    { name: 'Duration', isNumber: true, key: row => row.seconds, cell: row => lasted(row) },
    ...table.columns.map((column, index) => ({
      name: column.name,
      isNumber: column.kind === 'metric' || table.rows.some(row => row.numbers[index] != null),
      key: (row: ChildRow) => row.numbers[index] ?? (row.cells[index] || null),
      cell: (row: ChildRow) => row.cells[index] ?? ''
    }))
  ];
}

function started(row: ChildRow): string {
  return row.started === null ? '' : moment(row.started);
}

function lasted(row: ChildRow): string {
  return row.seconds === null ? '' : duration(row.seconds);
}

/** Numbers before words, and what is missing last, whichever way the rest goes. */
function compared(one: Key, other: Key, isDescending: boolean): number {
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
