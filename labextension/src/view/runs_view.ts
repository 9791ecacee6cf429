import { element } from '../dom';
import { count } from '../format';
import type { ChildRow, ChildTable } from '../protocol';
import { button, setShown, setText } from './controls';
import type { Notices } from './notices';
import { openNotebook } from './open_notebook';
import type { Part } from './part';
import { RunChoice } from './run_choice';
import { columnsOf, compared, type Column } from './run_columns';
import { RunRows } from './run_rows';
import type { Session } from './session';
import { trans, waiting } from './words';

const NONE: ChildTable = {
  ...{ of: 'runs', columns: [], rows: [], more: 0, picture: '', partial: false }
};

/** The children of a run as a table that can be sorted; each opens where this run stands. */
export class RunsView implements Part {
  readonly node = element('div', { class: 'aml-v-runs-view' });
  private readonly picture = element('div', { class: 'aml-v-picture' });
  private readonly head = element('tr', {});
  private readonly more = element('p', { class: 'aml-v-muted' });
  private readonly choice = new RunChoice(() => this.draw());
  private readonly rows = new RunRows(row => this.openRun(row));
  private table: ChildTable = NONE;
  private columns: readonly Column[] = [];
  private sorted = '';
  private isDescending = false;
  private drawn = '';
  private pictured = '';

  constructor(
    private readonly session: Session,
    private readonly notices: Notices,
    signal: AbortSignal
  ) {
    const head = element('thead', {}, this.head);
    const table = element('table', { class: 'aml-v-table aml-v-sortable' }, head, this.rows.node);
    const scroller = element('div', { class: 'aml-v-scroll' }, table);
    const { states, pages } = this.choice;
    this.node.append(this.picture, states, scroller, pages, this.more);
    session.onTold('children', told => told.children && this.take(told.children), signal);
    session.onOtherRun(() => this.reset(), signal);
    session.onTold('said', () => this.node.removeAttribute('aria-busy'), signal);
  }

  open(): void {
    const known = this.session.answer('children')?.children;
    setText(this.more, known === undefined ? waiting() : '');
    setShown(this.more, known === undefined);
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
    this.choice.reset();
    this.take(NONE);
  }

  private take(table: ChildTable): void {
    this.table = table;
    if (this.pictured !== table.picture) {
      this.pictured = table.picture;
      // The kernel makes this SVG and escapes what is in it.
      this.picture.innerHTML = table.picture;
    }
    setShown(this.picture, table.picture !== '');
    // Of a batch one looks for its notebooks first.
    this.node.classList.toggle('aml-v-notebooks', table.of === 'notebooks');
    const empty = table.rows.length === 0 ? trans.__('There are no child runs yet.') : '';
    const more =
      table.of === 'notebooks'
        ? trans.__('%1 more notebooks are not listed.', count(table.more))
        : trans.__('%1 more runs are not listed.', count(table.more));
    setText(this.more, table.more > 0 ? more : empty);
    setShown(this.more, table.more > 0 || empty !== '');
    this.draw();
  }

  private draw(): void {
    this.columns = columnsOf(this.table, row => this.openNotebook(row));
    const names = this.columns.map(column => column.name).join('\n');
    if (names !== this.drawn) {
      this.drawn = names;
      this.head.replaceChildren(...this.columns.map(column => this.heading(column)));
    }
    this.columns.forEach((column, index) => {
      const order = this.isDescending ? 'descending' : 'ascending';
      const isSorted = column.name === this.sorted;
      this.head.children[index]?.setAttribute('aria-sort', isSorted ? order : 'none');
    });
    this.choice.offer(this.table.rows);
    setShown(this.choice.states, this.table.of === 'notebooks' && this.table.rows.length > 1);
    this.rows.show(this.shown(), this.columns);
  }

  private shown(): readonly ChildRow[] {
    const rows = [...this.choice.fitting(this.table.rows)];
    const column = this.columns.find(({ name }) => name === this.sorted);
    if (column !== undefined) {
      rows.sort((one, other) => compared(column.key(one), column.key(other), this.isDescending));
    }
    return this.choice.page(rows, column !== undefined);
  }

  private heading(column: Column): HTMLElement {
    if (column.isPlain) {
      const words = element('span', { class: 'aml-v-offscreen' }, column.name);
      return element('th', { scope: 'col' }, words);
    }
    const made = button(column.name, () => this.sort(column), 'aml-v-quiet');
    made.title = trans.__('Sort by %1', column.name);
    return element('th', { scope: 'col', ...(column.isNumber ? RIGHT : {}) }, made);
  }

  private sort(column: Column): void {
    // The highest number is what one looks for most, but with names the first one.
    this.isDescending = this.sorted === column.name ? !this.isDescending : column.isNumber;
    this.sorted = column.name;
    this.draw();
  }

  private openRun(row: ChildRow): void {
    const isAsked = this.session.ask({ kind: 'open', run: row.id });
    this.node.setAttribute('aria-busy', String(isAsked));
  }

  private openNotebook(row: ChildRow): void {
    const title = row.name;
    void openNotebook(this.session, this.notices, { run: row.id, path: row.notebook, title });
  }
}

const RIGHT = { class: 'aml-v-right' };
