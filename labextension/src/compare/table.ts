import { element, nameHalves } from '../dom';
import { count } from '../format';
import { lookOf, signOf } from '../states';
import {
  EMPTY,
  bestOf,
  cellOf,
  percentOf,
  type Better,
  type Column,
  type Fact,
  type Kind
} from './facts';
import { MOST_DRAWN, type CompareModel } from './model';

/** So many runs stand side by side; more stand one below the other. */
const FEW = 6;
const BEST = '★';

/** What a table asks of the page around it. */
export interface TableOwner {
  open(run: string): void;
  say(text: string): void;
  colourOf(run: string): string | undefined;
}

/** Every fact of every run: a real table that is sorted, cut down and measured by a baseline. */
export class CompareTable {
  readonly node = element('div', { class: 'aml-Compare-table', tabindex: '0', role: 'region' });
  private filter = '';

  constructor(
    private readonly model: CompareModel,
    private readonly owner: TableOwner
  ) {
    this.node.setAttribute('aria-label', model.trans.__('Table of what differs'));
  }

  /** Show only facts whose name has this text. */
  setFilter(text: string): void {
    this.filter = text.trim().toLowerCase();
    this.draw();
  }

  /** The facts that are shown now. */
  get facts(): readonly Fact[] {
    const { filter } = this;
    return this.model.shownFacts.filter(fact => fact.name.toLowerCase().includes(filter));
  }

  /** Draw all of it anew; the focus and the place looked at stay. */
  draw(): void {
    const { scrollLeft, scrollTop } = this.node;
    const held = this.node.querySelector<HTMLElement>(':focus')?.dataset.focus;
    const { columns } = this.model;
    const facts = this.facts;
    const table = this.isTurned ? this.turned(facts, columns) : this.lines(facts, columns);
    table.prepend(this.caption(facts, columns));
    const none = element('p', { class: 'aml-Compare-empty' }, this.whyEmpty());
    this.node.replaceChildren(table, facts.length === 0 || columns.length === 0 ? none : '');
    this.node.scrollTo(scrollLeft, scrollTop);
    if (held !== undefined) {
      this.node.querySelector<HTMLElement>(`[data-focus="${CSS.escape(held)}"]`)?.focus({
        preventScroll: true
      });
    }
  }

  /** Colours have come, or are others. */
  colour(): void {
    for (const dot of this.node.querySelectorAll<HTMLElement>('.aml-Compare-dot')) {
      dot.style.backgroundColor = this.owner.colourOf(dot.dataset.run ?? '') ?? '';
    }
  }

  /** Whether the runs stand side by side. */
  get isTurned(): boolean {
    return this.model.choices.turned ?? this.model.columns.length <= FEW;
  }

  private whyEmpty(): string {
    const { trans, columns } = this.model;
    if (columns.length === 0) {
      return trans.__('Every run is hidden.');
    }
    return this.filter === ''
      ? trans.__('Nothing differs between these runs. “All” shows what they have in common.')
      : trans.__('Nothing here has “%1” in its name.', this.filter);
  }

  private caption(facts: readonly Fact[], columns: readonly Column[]): HTMLElement {
    const { trans, choices } = this.model;
    const what = choices.all ? trans.__('All facts') : trans.__('What differs');
    const text = trans.__('%1: %2 facts of %3 runs', what, count(facts.length), count(columns.length));
    return element('caption', { class: 'aml-Compare-aside' }, text);
  }

  // Runs side by side ---------------------------------------------------------------------------

  private turned(facts: readonly Fact[], columns: readonly Column[]): HTMLTableElement {
    const heads = columns.map(column => this.runHead(column, 'col'));
    const head = element('thead', {}, element('tr', {}, this.corner(), ...heads));
    const bodies = byKind(facts).map(([kind, those]) => {
      const span = String(columns.length + 1);
      const title = element(
        'th',
        { scope: 'rowgroup', colspan: span, class: 'aml-Compare-kind' },
        element('span', {}, this.kindWords(kind))
      );
      const rows = those.map(fact => this.factRow(fact, columns));
      return element('tbody', {}, element('tr', {}, title), ...rows);
    });
    return element('table', { class: 'aml-mod-turned' }, head, ...bodies);
  }

  private factRow(fact: Fact, columns: readonly Column[]): HTMLElement {
    const cells = this.cells(fact, columns);
    return element('tr', {}, this.factHead(fact, 'row'), ...cells);
  }

  // A line for each run -------------------------------------------------------------------------

  private lines(facts: readonly Fact[], columns: readonly Column[]): HTMLTableElement {
    const kinds = byKind(facts);
    const titles = kinds.map(([kind, those]) => {
      const attributes = { scope: 'colgroup', colspan: String(those.length), class: 'aml-Compare-kind' };
      return element('th', attributes, element('span', {}, this.kindWords(kind)));
    });
    const ordered = kinds.flatMap(([, those]) => those);
    const heads = ordered.map(fact => this.factHead(fact, 'col'));
    const corner = this.corner();
    corner.setAttribute('rowspan', '2');
    const head = element(
      'thead',
      {},
      element('tr', {}, corner, ...titles),
      element('tr', {}, ...heads)
    );
    const byFact = ordered.map(fact => this.cells(fact, columns));
    const rows = columns.map((column, nth) => {
      const cells = byFact.map(cells => cells[nth] ?? null);
      return element('tr', {}, this.runHead(column, 'row'), ...cells);
    });
    return element('table', {}, head, element('tbody', {}, ...rows));
  }

  // Cells ---------------------------------------------------------------------------------------

  private cells(fact: Fact, columns: readonly Column[]): HTMLElement[] {
    const best = bestOf(fact, columns);
    const { baseline } = this.model;
    const base = baseline && cellOf(fact, baseline).value;
    return columns.map(column => {
      const cell = cellOf(fact, column);
      const made = document.createElement('td');
      made.textContent = cell.text;
      if (cell === EMPTY) {
        made.className = 'aml-mod-none';
      } else if (cell.value !== null) {
        made.className = 'aml-mod-number';
      }
      if (cell.more !== undefined || cell.text.length > FEW * 4) {
        made.title = cell.more ?? cell.text;
      }
      if (best.has(column.key)) {
        made.classList.add('aml-mod-best');
        made.append(this.bestSign());
      }
      const percent = column === baseline ? '' : percentOf(cell.value, base ?? null);
      if (percent !== '') {
        made.append(element('span', { class: 'aml-Compare-percent' }, percent));
      }
      return made;
    });
  }

  private bestSign(): HTMLElement {
    const words = this.model.trans.__('best');
    return element('span', { class: 'aml-Compare-best', role: 'img', 'aria-label': words }, BEST);
  }

  // Heads ---------------------------------------------------------------------------------------

  private corner(): HTMLElement {
    const words = element('span', { class: 'aml-Compare-aside' }, this.model.trans.__('Run'));
    return element('th', { scope: 'col', class: 'aml-Compare-corner' }, words);
  }

  private factHead(fact: Fact, scope: 'row' | 'col'): HTMLElement {
    const { trans, choices } = this.model;
    const isSorted = choices.sort === fact.key;
    const sign = isSorted ? (choices.descending ? ' ▼' : ' ▲') : '';
    const button = this.button(`sort ${fact.key}`, fact.name + sign, () => this.sortBy(fact));
    button.classList.add('aml-Compare-fact');
    button.title = trans.__('Sort the runs by “%1”', fact.name);
    const made = element('th', { scope }, button);
    made.classList.toggle('aml-mod-number', fact.cells.some(cell => cell.value !== null));
    if (isSorted) {
      made.setAttribute('aria-sort', choices.descending ? 'descending' : 'ascending');
    }
    if (fact.kind === 'metrics') {
      made.append(this.betterButton(fact));
    }
    return made;
  }

  /** Ascending, then descending, then as they came; the best first. */
  private sortBy(fact: Fact): void {
    const { sort, descending } = this.model.choices;
    const first = fact.better === 'max';
    if (sort !== fact.key) {
      this.model.choose({ sort: fact.key, descending: first });
    } else {
      this.model.choose(descending === first ? { descending: !first } : { sort: '' });
    }
  }

  private betterButton(fact: Fact): HTMLElement {
    const { trans } = this.model;
    const looks: readonly (readonly [Better, string, string])[] = [
      ['min', '↓', trans.__('Less is better')],
      ['max', '↑', trans.__('More is better')],
      [null, '·', trans.__('Neither less nor more is better')]
    ];
    const now = looks.findIndex(([better]) => better === fact.better);
    const [, sign, words] = looks[now] ?? ['', '·', ''];
    const next = looks[(now + 1) % looks.length]?.[0] ?? null;
    const button = this.button(`better ${fact.key}`, sign, () => {
      const better = { ...this.model.choices.better, [fact.name]: next };
      this.model.choose({ better });
    });
    button.title = trans.__('%1. Press to change.', words);
    button.setAttribute('aria-label', trans.__('%1: %2. Press to change.', fact.name, words));
    button.classList.add('aml-Compare-sign');
    return button;
  }

  private runHead(column: Column, scope: 'row' | 'col'): HTMLElement {
    const { trans, choices } = this.model;
    const run = this.model.found?.runs[column.runs[0] ?? -1];
    const look = lookOf(run?.status ?? '', trans);
    const state = element('span', { class: `aml-Compare-state aml-mod-${look.tone}`, title: look.label }, signOf(look));
    const name = this.button(`open ${column.key}`, '', () => this.owner.open(column.key));
    name.append(...nameHalves(column.name));
    name.setAttribute('aria-label', column.name);
    name.classList.add('aml-Compare-run');
    name.title = run === undefined ? '' : `${run.id} · ${run.experiment}`;
    const isBase = choices.baseline === column.key;
    const base = this.button(`base ${column.key}`, 'Δ', () =>
      this.model.choose({ baseline: isBase ? '' : column.key })
    );
    base.setAttribute('aria-pressed', String(isBase));
    label(base, trans.__('Measure the others by %1', column.name));
    const hide = this.button(`hide ${column.key}`, '×', () => this.hide(column));
    label(hide, trans.__('Hide %1', column.name));
    const signs = element('span', { class: 'aml-Compare-signs' }, base, hide);
    const drawn = column.runs.length === 1 ? this.drawnBox(column) : null;
    const box = element('div', { class: 'aml-Compare-head' }, drawn, state, name, signs);
    const made = element('th', { scope }, box);
    made.classList.toggle('aml-mod-base', isBase);
    return made;
  }

  private hide(column: Column): void {
    this.model.choose({ hidden: [...this.model.choices.hidden, column.key] });
    this.node.focus();
  }

  /** Whether the run is drawn in the charts, and in which colour. */
  private drawnBox(column: Column): HTMLElement {
    const { trans } = this.model;
    const box = element('input', { type: 'checkbox', 'data-focus': `draw ${column.key}` });
    box.checked = this.model.drawn.includes(column.key);
    label(box, trans.__('Draw %1 in the charts', column.name));
    box.addEventListener('change', () => {
      if (!this.model.draw(column.key, box.checked)) {
        box.checked = false;
        this.owner.say(trans.__('%1 runs are drawn at most: take another one off first.', MOST_DRAWN));
      }
    });
    const dot = element('span', { class: 'aml-Compare-dot', 'data-run': column.key });
    dot.style.backgroundColor = (box.checked && this.owner.colourOf(column.key)) || '';
    return element('span', { class: 'aml-Compare-drawn' }, box, dot);
  }

  private button(focus: string, words: string, onClick: () => void): HTMLButtonElement {
    const made = element('button', { type: 'button', 'data-focus': focus }, words);
    made.addEventListener('click', onClick);
    return made;
  }

  private kindWords(kind: Kind): string {
    const { trans, choices } = this.model;
    const shown = { last: trans.__('last'), min: trans.__('least'), max: trans.__('greatest') };
    return {
      facts: trans.__('Run'),
      parameters: trans.__('Parameters'),
      tags: trans.__('Tags'),
      metrics: trans.__('Metrics (%1)', shown[choices.shown])
    }[kind];
  }
}

function label(node: HTMLElement, words: string): void {
  node.title = words;
  node.setAttribute('aria-label', words);
}

function byKind(facts: readonly Fact[]): [Kind, Fact[]][] {
  const kinds = [...new Set(facts.map(fact => fact.kind))];
  return kinds.map(kind => [kind, facts.filter(fact => fact.kind === kind)]);
}
