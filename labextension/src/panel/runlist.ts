import type { TranslationBundle } from '@jupyterlab/translation';

import { element } from '../dom';
import type { RunRow } from '../api';
import { shownMetric } from './asking';
import { HEADING, ListLayout, ROW, type Item } from './listlayout';
import { RowView, type RowContext } from './rowview';
import type { RunModel } from './runmodel';
import type { Segment } from './segment';
import { Selection } from './selection';

/** Pixels beyond what is seen that have rows, so that fast scrolling shows no gap. */
const MARGIN = 4 * ROW;

/** What is done with runs of the list. */
export interface ListActions {
  open(run: string): void;
  remove(): void;
  menu(x: number, y: number): void;
  selected(): void;
}

/**
 * The list on screen: only rows in sight are in the page, and their elements are used again. The row
 * that has the focus stays in the page wherever one scrolls, so that keys go on from there.
 */
export class RunList {
  readonly node: HTMLElement;
  readonly selection: Selection;
  private readonly space = element('div', { class: 'aml-List-space', role: 'presentation' });
  private readonly views = new Map<string, RowView>();
  private readonly spare: RowView[] = [];
  private readonly observer: ResizeObserver;
  private layout = new ListLayout([]);
  private frame = 0;
  private clock = 0;
  private height = 0;
  private isShown = false;
  /** Counts what may have changed what rows say. */
  private version = 0;
  private drawn = -1;
  private anchor: { key: string; top: number } | undefined;
  /** What the arrow keys go on from. */
  private active = '';

  constructor(
    private readonly model: RunModel,
    private readonly actions: ListActions,
    private readonly trans: TranslationBundle
  ) {
    this.node = element(
      'div',
      {
        class: 'aml-List',
        role: 'tree',
        'aria-label': trans.__('Runs'),
        'aria-multiselectable': 'true'
      },
      this.space
    );
    this.selection = new Selection(() => this.selectionChanged());
    this.node.addEventListener('scroll', () => this.drawSoon(), { passive: true });
    this.node.addEventListener('click', event => this.clicked(event));
    this.node.addEventListener('dblclick', event => this.opened(event));
    this.node.addEventListener('contextmenu', event => this.menuAsked(event));
    this.node.addEventListener('keydown', event => this.pressed(event));
    this.node.addEventListener('focusin', event => this.focused(event));
    this.observer = new ResizeObserver(() => {
      this.height = this.node.clientHeight;
      this.drawSoon();
    });
    this.observer.observe(this.node);
    model.changed.connect((_, change) => (change === 'list' ? this.arrange() : this.redraw()));
  }

  dispose(): void {
    this.setShown(false);
    this.observer.disconnect();
  }

  /** While it is not on screen nothing is drawn, and no clock ticks. */
  setShown(shown: boolean): void {
    this.isShown = shown;
    window.clearInterval(this.clock);
    this.clock = 0;
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (shown) {
      this.clock = window.setInterval(() => this.tick(), 1000);
      this.arrange();
    }
  }

  /** Back to the top, for another question. */
  toTop(): void {
    this.node.scrollTop = 0;
    this.active = '';
    this.anchor = undefined;
  }

  /** The focus goes to the row where it was last, else to the first. */
  focus(): void {
    this.move(Math.max(0, this.activeIndex()));
  }

  // Drawing -----------------------------------------------------------------------------------

  /** Rows have come, gone or moved: what is looked at stays where it is. */
  private arrange(): void {
    const { anchor } = this;
    this.layout = new ListLayout(this.model.segments);
    this.space.style.height = `${this.layout.height}px`;
    if (anchor !== undefined) {
      // At the very top one sees what is new.
      const top = this.topOf(anchor.key) ?? anchor.top;
      if (top !== anchor.top && this.node.scrollTop > 0) {
        this.node.scrollTop += top - anchor.top;
      }
      anchor.top = top;
    }
    this.redraw();
  }

  /** The first item in sight, as it was drawn: by it one sees how far the others have moved. */
  private anchorOf(items: readonly Item[]): { key: string; top: number } | undefined {
    const { scrollTop } = this.node;
    const found = items.find(item => item.top >= scrollTop && !keyOf(item).startsWith('?'));
    return found && { key: keyOf(found), top: found.top };
  }

  private topOf(key: string): number | undefined {
    const index = this.indexOf(key);
    return index < 0 ? undefined : this.layout.item(index)?.top;
  }

  private indexOf(key: string): number {
    const id = key.slice(1);
    for (const segment of this.model.segments) {
      if (key.startsWith('#') && segment.group !== undefined && segment.key === id) {
        return this.layout.indexOf(segment, -1);
      }
      if (key.startsWith('=') && segment.isOpen) {
        const at = segment.rows.findIndex(entry => entry?.row.id === id);
        if (at >= 0) {
          return this.layout.indexOf(segment, at);
        }
      }
    }
    return -1;
  }

  /** Rows may say something else; scrolling alone draws only those that come into sight. */
  private redraw(): void {
    this.version++;
    this.drawSoon();
  }

  private drawSoon(): void {
    if (this.isShown) {
      this.frame ||= requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }
  }

  private draw(): void {
    const { scrollTop } = this.node;
    const first = this.layout.indexAt(scrollTop - MARGIN);
    const last = this.layout.indexAt(scrollTop + this.height + MARGIN);
    const items: Item[] = [];
    for (let index = first; index <= last && index < this.layout.length; index++) {
      items.push(this.layout.item(index)!);
    }
    const wanted = new Map(items.map(item => [keyOf(item), item]));
    this.keepFetched();
    this.keepFocused(wanted);
    for (const [key, view] of this.views) {
      if (!wanted.has(key)) {
        this.views.delete(key);
        this.spare.push(view);
      }
    }
    const context = this.context();
    if (this.version !== this.drawn) {
      this.drawn = this.version;
      if (!wanted.has(this.active) && items[0] !== undefined && this.activeIndex() < 0) {
        this.active = keyOf(items[0]);
      }
    }
    const inOrder = [...wanted].sort(([, a], [, b]) => a.index - b.index);
    const views = inOrder.map(([key, item]) => this.place(key, item, context));
    this.spare.splice(0).forEach(view => view.node.remove());
    this.order(views);
    this.anchor = this.anchorOf(items);
    this.model.need(needsOf(items));
  }

  /** A row that waited for its run stays that run's row, so that it keeps the focus. */
  private keepFetched(): void {
    for (const [key, view] of [...this.views]) {
      const item = this.layout.item(view.index);
      const now = key.startsWith('?') && item !== undefined ? keyOf(item) : key;
      if (now !== key && !this.views.has(now)) {
        this.views.delete(key);
        this.views.set(now, view);
        this.active = this.active === key ? now : this.active;
      }
    }
  }

  /** The row with the focus stays, though out of sight. */
  private keepFocused(wanted: Map<string, Item>): void {
    const { activeElement } = document;
    if (!this.space.contains(activeElement)) {
      return;
    }
    for (const [key, view] of this.views) {
      if (view.node.contains(activeElement) && !wanted.has(key)) {
        const item = this.layout.item(this.indexOf(key));
        if (item !== undefined) {
          wanted.set(key, item);
        }
      }
    }
  }

  /** In the page rows stand in their order, as they are read out; what is moved keeps the focus. */
  private order(views: readonly RowView[]): void {
    const { activeElement } = document;
    let next = this.space.firstChild;
    for (const { node } of views) {
      if (node === next) {
        next = next.nextSibling;
      } else {
        this.space.insertBefore(node, next);
      }
    }
    if (activeElement instanceof HTMLElement && activeElement !== document.activeElement) {
      activeElement.focus({ preventScroll: true });
    }
  }

  private place(key: string, item: Item, context: RowContext): RowView {
    let view = this.views.get(key);
    if (view === undefined) {
      view = this.spare.pop() ?? new RowView();
      this.views.set(key, view);
    } else if (view.version === this.version && view.index === item.index) {
      return view;
    }
    view.version = this.version;
    this.fill(view, item, context);
    const { node } = view;
    node.style.transform = `translateY(${item.top}px)`;
    node.tabIndex = key === this.active ? 0 : -1;
    const isGrouped = item.segment.group !== undefined;
    const size = item.at < 0 ? this.model.segments.length : item.segment.rows.length;
    const at = item.at < 0 ? this.model.segments.indexOf(item.segment) : item.at;
    setAll(node, {
      'aria-level': isGrouped && item.at >= 0 ? '2' : '1',
      'aria-setsize': String(size),
      'aria-posinset': String(at + 1),
      'aria-selected': String(this.selection.has(key.slice(1)) && key.startsWith('='))
    });
    return view;
  }

  private fill(view: RowView, item: Item, context: RowContext): void {
    view.index = item.index;
    const row = rowOf(item);
    if (row !== undefined) {
      view.showRun(row, context);
    } else if (item.at < 0) {
      view.showGroup(item.segment.group!, item.segment.isOpen, context);
    } else {
      view.showNothing(context);
    }
  }

  private context(): RowContext {
    const now = Date.now() / 1000 + this.model.ahead;
    return { trans: this.trans, metric: shownMetric(this.model.asking), now };
  }

  private tick(): void {
    const context = this.context();
    for (const view of this.views.values()) {
      const item = this.layout.item(view.index);
      const row = item && rowOf(item);
      if (row !== undefined) {
        view.tick(row, context);
      }
    }
  }

  // Hands and keys ----------------------------------------------------------------------------

  private itemOf(target: EventTarget | null): Item | undefined {
    if (target instanceof Element) {
      for (const view of this.views.values()) {
        if (view.node.contains(target)) {
          return this.layout.item(view.index);
        }
      }
    }
    return undefined;
  }

  private clicked(event: MouseEvent): void {
    const item = this.itemOf(event.target);
    if (item === undefined) {
      return;
    }
    this.setActive(item);
    const button = (event.target as Element).closest('.aml-Item-more');
    const row = rowOf(item);
    if (row !== undefined && button !== null) {
      this.selection.include(row.id);
      const { left, bottom } = button.getBoundingClientRect();
      this.actions.menu(left, bottom);
    } else if (item.at < 0) {
      this.model.toggle(item.segment, !item.segment.isOpen);
    } else if (row !== undefined) {
      if (event.shiftKey) {
        this.selectTo(item);
      } else if (event.ctrlKey || event.metaKey) {
        this.selection.toggle(row.id);
      } else {
        this.selection.only(row.id);
      }
    }
  }

  private opened(event: MouseEvent): void {
    const item = this.itemOf(event.target);
    const row = item && rowOf(item);
    if (row !== undefined && (event.target as Element).closest('button') === null) {
      this.actions.open(row.id);
    }
  }

  private menuAsked(event: MouseEvent): void {
    const item = this.itemOf(event.target);
    const row = item && rowOf(item);
    if (item !== undefined && row !== undefined) {
      event.preventDefault();
      event.stopPropagation();
      this.setActive(item);
      this.selection.include(row.id);
      this.actions.menu(event.clientX, event.clientY);
    }
  }

  private focused(event: FocusEvent): void {
    const item = this.itemOf(event.target);
    if (item !== undefined) {
      this.setActive(item);
    }
  }

  private pressed(event: KeyboardEvent): void {
    const item = this.itemOf(event.target);
    if (item !== undefined && this.act(event, item)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  /** What a key does at a row; whether it is one of ours. */
  private act(event: KeyboardEvent, item: Item): boolean {
    const row = rowOf(item);
    const to = this.target(event.key, item);
    if (to !== undefined) {
      this.move(to, event.shiftKey);
      return true;
    }
    switch (event.key) {
      case 'Enter':
        if (row !== undefined) {
          this.actions.open(row.id);
        } else {
          this.model.toggle(item.segment, !item.segment.isOpen);
        }
        return true;
      case ' ':
        if (row !== undefined) {
          this.selection.toggle(row.id);
        } else {
          this.model.toggle(item.segment, !item.segment.isOpen);
        }
        return true;
      case 'ArrowRight':
      case 'ArrowLeft':
        return this.openOrClose(item, event.key === 'ArrowRight');
      case 'Delete':
      case 'Backspace':
        return row !== undefined && this.withSelected(row.id, () => this.actions.remove());
      case 'ContextMenu':
        return row !== undefined && this.withSelected(row.id, () => this.menuAt(item));
      case 'F10':
        return (
          event.shiftKey &&
          row !== undefined &&
          this.withSelected(row.id, () => this.menuAt(item))
        );
      case 'Escape':
        this.selection.clear();
        return true;
      case 'a':
        if (event.ctrlKey || event.metaKey) {
          this.selectSegment(item);
          return true;
        }
        return false;
      default:
        return false;
    }
  }

  private withSelected(run: string, work: () => void): true {
    this.selection.include(run);
    work();
    return true;
  }

  private target(key: string, { index }: Item): number | undefined {
    const page = Math.max(1, Math.floor(this.height / ROW) - 1);
    const last = this.layout.length - 1;
    const to = {
      ArrowDown: index + 1,
      ArrowUp: index - 1,
      PageDown: index + page,
      PageUp: index - page,
      Home: 0,
      End: last
    }[key];
    return to === undefined ? undefined : Math.min(last, Math.max(0, to));
  }

  private openOrClose(item: Item, open: boolean): boolean {
    if (item.segment.group === undefined) {
      return true;
    }
    if (item.at < 0) {
      if (item.segment.isOpen !== open) {
        this.model.toggle(item.segment, open);
      } else if (open) {
        this.move(item.index + 1);
      }
    } else if (!open) {
      this.move(this.layout.indexOf(item.segment, -1));
    }
    return true;
  }

  private move(index: number, extending = false): void {
    const item = this.layout.item(index);
    if (item === undefined) {
      return;
    }
    this.reveal(item);
    this.setActive(item);
    this.draw();
    this.views.get(keyOf(item))?.node.focus({ preventScroll: true });
    if (extending) {
      this.selectTo(item);
    }
  }

  private reveal({ top, at }: Item): void {
    const bottom = top + (at < 0 ? HEADING : ROW);
    const { scrollTop } = this.node;
    if (top < scrollTop) {
      this.node.scrollTop = top;
    } else if (bottom > scrollTop + this.height) {
      this.node.scrollTop = bottom - this.height;
    }
  }

  private setActive(item: Item): void {
    const before = this.views.get(this.active);
    this.active = keyOf(item);
    const now = this.views.get(this.active);
    if (before !== undefined) {
      before.node.tabIndex = -1;
    }
    if (now !== undefined) {
      now.node.tabIndex = 0;
    }
  }

  private activeIndex(): number {
    return this.indexOf(this.active);
  }

  private menuAt(item: Item): void {
    const box = this.views.get(keyOf(item))?.node.getBoundingClientRect();
    if (box !== undefined) {
      this.actions.menu(box.left + 24, box.bottom);
    }
  }

  // Choosing ----------------------------------------------------------------------------------

  private selectTo(item: Item): void {
    const from = this.selection.anchor === '' ? -1 : this.indexOf(`=${this.selection.anchor}`);
    const [first, last] = [from < 0 ? item.index : from, item.index].sort((a, b) => a - b);
    const runs: string[] = [];
    for (let index = first!; index <= last!; index++) {
      const row = rowOf(this.layout.item(index)!);
      if (row !== undefined) {
        runs.push(row.id);
      }
    }
    this.selection.range(runs);
  }

  private selectSegment({ segment }: Item): void {
    this.selection.range(segment.rows.flatMap(entry => (entry ? [entry.row.id] : [])));
  }

  private selectionChanged(): void {
    this.actions.selected();
    this.redraw();
  }
}

function rowOf({ segment, at }: Item): RunRow | undefined {
  return at < 0 ? undefined : segment.rows[at]?.row;
}

/** What stays the same of an item wherever it moves: `=` run, `#` group, `?` not fetched yet. */
function keyOf(item: Item): string {
  const row = rowOf(item);
  if (row !== undefined) {
    return `=${row.id}`;
  }
  return item.at < 0 ? `#${item.segment.key}` : `?${item.index}`;
}

function needsOf(items: readonly Item[]): { segment: Segment; first: number; last: number }[] {
  const found = new Map<Segment, { segment: Segment; first: number; last: number }>();
  for (const { segment, at } of items) {
    if (at >= 0) {
      const need = found.get(segment) ?? { segment, first: at, last: at };
      need.last = at;
      found.set(segment, need);
    }
  }
  return [...found.values()];
}

function setAll(node: Element, attributes: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== value) {
      node.setAttribute(name, value);
    }
  }
}

