import { element } from './dom';
import type { Words } from './states';
import { addStyles } from './styles';
import diff from '../style/diff.raw.css';

addStyles({ diff });

/** How two sources differ, file by file. */
export interface Difference {
  readonly files: readonly FileDifference[];
  /** Files that differ and are not listed. */
  readonly more: number;
}

export interface FileDifference {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** A unified diff. */
  readonly text: string;
  /** Why there is no text; may be empty. */
  readonly note: string;
}

/** A line of a diff. On the left it has a number before the change, on the right one after it. */
export interface DiffLine {
  readonly kind: 'same' | 'removed' | 'added' | 'gap' | 'remark';
  readonly text: string;
  readonly before: number | null;
  readonly after: number | null;
}

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/;
// Of more than this many lines the rest is drawn when its file is opened.
const DRAWN_AT_ONCE = 600;
const MOST_LINES = 4000;

/** The lines of a unified diff. */
export function linesOf(text: string): DiffLine[] {
  const lines: DiffLine[] = [];
  let [before, after] = [0, 0];
  let isInside = false;
  for (const line of text.replace(/\n$/, '').split('\n')) {
    const hunk = HUNK.exec(line);
    if (hunk !== null) {
      isInside = true;
      [before, after] = [Number(hunk[1]), Number(hunk[2])];
      lines.push({ kind: 'gap', text: (hunk[3] ?? '').trim(), before: null, after: null });
    } else if (!isInside) {
      continue; // The names of the files, which stand above.
    } else if (line.startsWith('-')) {
      lines.push({ kind: 'removed', text: line.slice(1), before: before++, after: null });
    } else if (line.startsWith('+')) {
      lines.push({ kind: 'added', text: line.slice(1), before: null, after: after++ });
    } else if (line.startsWith(' ')) {
      lines.push({ kind: 'same', text: line.slice(1), before: before++, after: after++ });
    } else {
      lines.push({ kind: 'remark', text: line.replace(/^\\ /, ''), before: null, after: null });
    }
  }
  return lines;
}

/** Lines beside each other: what was removed beside what came in its place. */
export function pairsOf(lines: readonly DiffLine[]): (readonly [DiffLine | null, DiffLine | null])[] {
  const pairs: (readonly [DiffLine | null, DiffLine | null])[] = [];
  let removed: DiffLine[] = [];
  let added: DiffLine[] = [];
  const settle = (): void => {
    for (let at = 0; at < Math.max(removed.length, added.length); at++) {
      pairs.push([removed[at] ?? null, added[at] ?? null]);
    }
    [removed, added] = [[], []];
  };
  for (const line of lines) {
    if (line.kind === 'removed') {
      removed.push(line);
    } else if (line.kind === 'added') {
      added.push(line);
    } else if (line.kind !== 'remark' || removed.length + added.length === 0) {
      settle();
      pairs.push([line, line]);
    }
  }
  settle();
  return pairs;
}

/** Where two lines begin and end to differ: the length of what they share at the start and end. */
export function sharedOf(one: string, other: string): readonly [number, number] {
  const most = Math.min(one.length, other.length);
  let start = 0;
  while (start < most && one[start] === other[start]) {
    start++;
  }
  let end = 0;
  while (end < most - start && one[one.length - 1 - end] === other[other.length - 1 - end]) {
    end++;
  }
  return [start, end];
}

/** A difference, each file under a heading that opens it; one below the other or side by side. */
export class DiffView {
  readonly node = element('div', { class: 'aml-Diff' });
  private readonly toggle: HTMLButtonElement;
  private readonly files = element('div', { class: 'aml-Diff-files' });
  private readonly total = element('span', { class: 'aml-Diff-total', role: 'status' });
  private shown: Difference = { files: [], more: 0 };

  constructor(
    private readonly trans: Words,
    private isSideBySide = true
  ) {
    this.toggle = element('button', { type: 'button', class: 'aml-Diff-toggle' });
    this.toggle.textContent = trans.__('Side by side');
    this.toggle.addEventListener('click', () => this.setSideBySide(!this.isSideBySide));
    this.toggle.setAttribute('aria-pressed', String(isSideBySide));
    const bar = element('div', { class: 'aml-Diff-bar' }, this.total, this.toggle);
    this.node.append(bar, this.files);
  }

  /** Show how two sources differ. */
  show(difference: Difference): void {
    this.shown = difference;
    this.draw();
  }

  private setSideBySide(isSideBySide: boolean): void {
    this.isSideBySide = isSideBySide;
    this.toggle.setAttribute('aria-pressed', String(isSideBySide));
    this.draw();
  }

  private draw(): void {
    const { files, more } = this.shown;
    let room = DRAWN_AT_ONCE;
    const drawn = files.map(file => {
      const lines = linesOf(file.text);
      room -= lines.length;
      return this.file(file, lines, room >= 0);
    });
    const rest =
      more > 0
        ? element('p', { class: 'aml-Diff-note' }, this.trans.__('%1 more files differ.', more))
        : null;
    this.files.replaceChildren(...drawn, ...(rest === null ? [] : [rest]));
    const count = files.length + more;
    this.total.textContent =
      count === 0
        ? this.trans.__('Nothing differs.')
        : count === 1
          ? this.trans.__('One file differs.')
          : this.trans.__('%1 files differ.', count);
    this.toggle.hidden = files.every(file => file.text === '');
  }

  private file(file: FileDifference, lines: readonly DiffLine[], isOpen: boolean): HTMLElement {
    const counts = ['added', 'removed'].map(kind => lines.filter(one => one.kind === kind).length);
    const made = element(
      'details',
      { class: 'aml-Diff-file' },
      element(
        'summary',
        {},
        element('span', { class: `aml-Diff-change aml-mod-${file.change}` }, this.word(file.change)),
        element('span', { class: 'aml-Diff-path' }, file.path),
        element('span', { class: 'aml-Diff-plus' }, counts[0] ? `+${counts[0]}` : ''),
        element('span', { class: 'aml-Diff-minus' }, counts[1] ? `−${counts[1]}` : '')
      )
    );
    const fill = (): void => {
      if (made.open && made.childElementCount === 1) {
        made.append(this.content(file, lines));
      }
    };
    made.addEventListener('toggle', fill);
    made.open = isOpen;
    fill();
    return made;
  }

  private word(change: FileDifference['change']): string {
    const { trans } = this;
    return { added: trans.__('added'), removed: trans.__('removed'), changed: trans.__('changed') }[
      change
    ];
  }

  private content(file: FileDifference, lines: readonly DiffLine[]): HTMLElement {
    if (lines.length === 0) {
      const words = file.note || this.trans.__('There is nothing in it.');
      return element('p', { class: 'aml-Diff-note' }, words);
    }
    const shown = lines.slice(0, MOST_LINES);
    const table = element('table', {
      ...{ class: 'aml-Diff-table', 'aria-label': this.trans.__('Changes of %1', file.path) }
    });
    table.classList.toggle('aml-mod-beside', this.isSideBySide);
    const body = element('tbody', {});
    body.append(...(this.isSideBySide ? pairsOf(shown).map(besideRow) : shown.map(belowRow)));
    // The first row may be one cell: widths are the columns' own.
    const columns = this.isSideBySide ? ['number', 'line', 'number', 'line'] : [];
    const widths = columns.map(name => element('col', { class: `aml-Diff-col-${name}` }));
    table.append(element('colgroup', {}, ...widths), body);
    const cut = shown.length < lines.length ? this.trans.__('The rest is not shown.') : file.note;
    return element(
      'div',
      { class: 'aml-Diff-scroll', tabindex: '0' },
      table,
      cut === '' ? null : element('p', { class: 'aml-Diff-note' }, cut)
    );
  }
}

function belowRow(line: DiffLine): HTMLElement {
  const sign = { added: '+', removed: '−', same: '', gap: '⋯', remark: '' }[line.kind];
  return element(
    'tr',
    { class: `aml-mod-${line.kind}` },
    numberCell(line.before),
    numberCell(line.after),
    element('td', { class: 'aml-Diff-sign' }, sign),
    element('td', { class: 'aml-Diff-line' }, line.text)
  );
}

function besideRow([before, after]: readonly [DiffLine | null, DiffLine | null]): HTMLElement {
  if (before?.kind === 'gap' || before?.kind === 'remark') {
    const words = element('td', { class: 'aml-Diff-line', colspan: '4' }, `⋯ ${before.text}`);
    return element('tr', { class: `aml-mod-${before.kind}` }, words);
  }
  const isChange = before !== null && after !== null && before.kind === 'removed';
  const shared = isChange ? sharedOf(before.text, after.text) : null;
  return element('tr', {}, ...sideCells(before, 'before', shared), ...sideCells(after, 'after', shared));
}

function sideCells(
  line: DiffLine | null,
  side: 'before' | 'after',
  shared: readonly [number, number] | null
): HTMLElement[] {
  const kind = line === null ? 'none' : line.kind;
  const text = element('td', { class: `aml-Diff-line aml-mod-${kind}` });
  if (line !== null && shared !== null && shared[0] + shared[1] > 0) {
    const [start, end] = [shared[0], line.text.length - shared[1]];
    const middle = element('span', { class: 'aml-Diff-word' }, line.text.slice(start, end));
    text.append(line.text.slice(0, start), middle, line.text.slice(end));
  } else {
    text.textContent = line?.text ?? '';
  }
  return [numberCell(line?.[side] ?? null, kind), text];
}

function numberCell(number: number | null, kind = ''): HTMLElement {
  const attributes = { class: `aml-Diff-number aml-mod-${kind}`, 'data-line': String(number ?? '') };
  return element('td', attributes);
}
