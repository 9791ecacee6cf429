import { element } from '../dom';
import type { ChildRow } from '../protocol';
import type { Column } from './run_columns';

/** The body of the table: a row is changed where it has changed, and else left alone. */
export class RunRows {
  readonly node = element('tbody', {});
  private readonly known = new Map<string, TableRow>();
  private columns = '';

  constructor(private readonly onClick: (row: ChildRow) => void) {}

  /** Show these rows in this order, and no others. */
  show(rows: readonly ChildRow[], columns: readonly Column[]): void {
    const names = columns.map(column => column.name).join('\n');
    if (names !== this.columns) {
      this.columns = names;
      this.known.clear();
    }
    const shown = rows.map(row => this.drawn(row, columns));
    this.forgetBut(rows);
    this.place(shown);
  }

  private drawn(row: ChildRow, columns: readonly Column[]): HTMLTableRowElement {
    const known = this.known.get(row.key) ?? new TableRow(this.onClick);
    this.known.set(row.key, known);
    known.update(row, columns);
    return known.node;
  }

  private forgetBut(rows: readonly ChildRow[]): void {
    const keys = new Set(rows.map(row => row.key));
    for (const key of this.known.keys()) {
      if (!keys.has(key)) {
        this.known.delete(key);
      }
    }
  }

  private place(shown: readonly HTMLTableRowElement[]): void {
    const isSame =
      shown.length === this.node.rows.length && shown.every((row, at) => row === this.node.rows[at]);
    if (isSame) {
      return;
    }
    // What is moved loses the focus.
    const focused = this.node.contains(document.activeElement) ? document.activeElement : null;
    this.node.replaceChildren(...shown);
    if (focused instanceof HTMLElement) {
      focused.focus({ preventScroll: true });
    }
  }
}

/** One row of the table. */
class TableRow {
  readonly node = element('tr', {});
  private row: ChildRow | null = null;
  private seen: string[] = [];

  constructor(onClick: (row: ChildRow) => void) {
    this.node.addEventListener('click', () => {
      // Who selects a text in the table does not want to go away from it.
      const selected = window.getSelection();
      const selects = selected?.isCollapsed === false && this.node.contains(selected.anchorNode);
      if (this.row !== null && this.row.id !== '' && !selects) {
        onClick(this.row);
      }
    });
  }

  update(row: ChildRow, columns: readonly Column[]): void {
    if (row === this.row) {
      return;
    }
    this.row = row;
    this.node.dataset.id = row.id;
    columns.forEach((column, at) => {
      const seen = JSON.stringify(column.seen(row)) ?? '';
      if (seen !== this.seen[at]) {
        this.seen[at] = seen;
        this.put(at, column, row);
      }
    });
  }

  private put(at: number, column: Column, row: ChildRow): void {
    const attributes = column.isNumber ? { class: 'aml-v-right' } : {};
    const made = element('td', attributes, column.cell(row));
    const old = this.node.cells[at];
    if (old === undefined) {
      this.node.append(made);
    } else {
      const hadFocus = old.contains(document.activeElement);
      old.replaceWith(made);
      if (hadFocus) {
        made.querySelector<HTMLElement>('button, summary')?.focus({ preventScroll: true });
      }
    }
  }
}
