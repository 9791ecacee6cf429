import { caretDownIcon, ellipsesIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Group, RunRow } from '../api';
import { element, nameHalves } from '../dom';
import { count, duration, moment, number, ticking } from '../format';
import { hasEnded, lookOf, signOf, type StateLook } from '../states';

/** What rows need to know besides their run. */
export interface RowContext {
  readonly trans: TranslationBundle;
  /** The metric to show; may be empty. */
  readonly metric: string;
  /** The server's clock, in seconds since the epoch. */
  readonly now: number;
}

const TONES = ['waiting', 'active', 'good', 'bad', 'stopped'].map(tone => `aml-mod-${tone}`);
/** Chips of tags that a row has at most. */
const CHIPS = 3;

/** A row of the list. Its elements are used again for other runs, so only what differs is written. */
export class RowView {
  readonly node = element('div', { class: 'aml-Item', role: 'treeitem', tabindex: '-1' });
  index = -1;
  /** Which state of the list it was drawn from. */
  version = -1;
  private readonly sign = element('span', { class: 'aml-Item-sign' });
  private readonly name = element('span', { class: 'aml-Item-name' });
  private readonly value = element('span', { class: 'aml-Item-value' });
  private readonly where = element('span', { class: 'aml-Item-where' });
  private readonly tags = element('span', { class: 'aml-Item-tags' });
  private readonly time = element('span', { class: 'aml-Item-time' });
  private readonly bar = element('span', { class: 'aml-Item-bar' }, element('span', {}));
  private readonly button = element('button', { class: 'aml-Item-more', type: 'button' });
  private readonly caret = element('span', { class: 'aml-Item-caret' });
  private readonly written = new Map<Node, string>();
  private kind = '';

  constructor() {
    const { sign, name, value, where, tags, time, bar, button, caret } = this;
    const over = element('span', { class: 'aml-Item-line' }, caret, name, value);
    const under = element('span', { class: 'aml-Item-line' }, where, tags, time);
    this.node.append(sign, over, under, bar, button);
    caretDownIcon.element({ container: caret });
    ellipsesIcon.element({ container: button });
    button.tabIndex = -1;
    // The row has a name that says all of it.
    for (const each of [sign, over, under, bar]) {
      each.setAttribute('aria-hidden', 'true');
    }
  }

  /** Show a run. */
  showRun(row: RunRow, context: RowContext): void {
    const { trans } = context;
    const look = lookOf(row.status, trans);
    this.become('run');
    this.showState(row.status, look);
    this.showName(row.name);
    const metric = context.metric === '' ? undefined : row.metrics[context.metric];
    this.write(this.value, metric === undefined ? '' : number(metric));
    this.write(this.where, whereOf(row));
    this.showTags(row);
    this.tick(row, context);
    this.label(this.button, trans.__('Actions for %1', row.name));
    this.tip(row, look, context);
  }

  /** Show what goes on by itself: how long it has taken, how long ago it was. */
  tick(row: RunRow, context: RowContext): void {
    const done = row.progress?.done ?? null;
    this.write(this.time, timeOf(row, context));
    const width = done === null || hasEnded(row.status) ? '' : `${Math.round(1000 * done) / 10}%`;
    this.write(this.bar.firstChild!, width, () => {
      this.bar.hidden = width === '';
      (this.bar.firstChild as HTMLElement).style.width = width;
    });
    this.label(this.node, nameOf(row, context));
  }

  showGroup(group: Group, isOpen: boolean, { trans }: RowContext): void {
    this.become('group');
    const name = group.name || trans.__('Others');
    this.showName(name);
    const parts = [
      group.live > 0 ? trans.__('%1 running', count(group.live)) : '',
      group.failed > 0 ? trans.__('%1 failed', count(group.failed)) : ''
    ].filter(part => part !== '');
    const signs = [
      group.live > 0 ? `▶ ${count(group.live)}` : '',
      group.failed > 0 ? `✕ ${count(group.failed)}` : ''
    ];
    this.write(this.where, signs.join(' ').trim());
    this.write(this.time, count(group.total));
    this.node.setAttribute('aria-expanded', String(isOpen));
    const total = trans._n('%1 run', '%1 runs', group.total);
    this.label(this.node, [name, total, ...parts].join(', '));
    this.node.title = [name, total, ...parts].join('\n');
  }

  /** Show that a run is being fetched. */
  showNothing({ trans }: RowContext): void {
    this.become('nothing');
    this.label(this.node, trans.__('Loading…'));
    this.node.removeAttribute('title');
  }

  private become(kind: 'run' | 'group' | 'nothing'): void {
    if (kind !== this.kind) {
      this.kind = kind;
      this.node.className = `aml-Item aml-mod-${kind}`;
      this.node.removeAttribute('aria-expanded');
      this.written.clear();
      for (const each of [this.name, this.value, this.where, this.tags, this.time]) {
        each.replaceChildren();
      }
      this.bar.hidden = true;
    }
  }

  private showName(name: string): void {
    this.write(this.name, name, () => this.name.replaceChildren(...nameHalves(name)));
  }

  private showState(status: string, look: StateLook): void {
    this.write(this.sign, status, () => {
      this.sign.replaceChildren(signOf(look));
      this.node.classList.remove(...TONES);
      this.node.classList.add(`aml-mod-${look.tone}`);
    });
  }

  private showTags({ tags }: RunRow): void {
    const texts = Object.entries(tags).map(([key, value]) => (value ? `${key}=${value}` : key));
    this.write(this.tags, texts.join('\n'), () =>
      this.tags.replaceChildren(
        ...texts.slice(0, CHIPS).map(text => element('span', { class: 'aml-Chip' }, text))
      )
    );
  }

  private tip(row: RunRow, look: StateLook, { trans }: RowContext): void {
    const lines = [
      row.name,
      `${look.label} · ${whereOf(row)} · ${row.target}`,
      trans.__('Created %1', moment(row.created)),
      row.notebook ?? '',
      Object.entries(row.tags)
        .map(([key, value]) => (value ? `${key}=${value}` : key))
        .join(', ')
    ];
    this.node.title = lines.filter(line => line !== '').join('\n');
  }

  private label(node: Element, text: string): void {
    if (node.getAttribute('aria-label') !== text) {
      node.setAttribute('aria-label', text);
    }
  }

  private write(node: Node, text: string, how?: () => void): void {
    if (this.written.get(node) !== text) {
      this.written.set(node, text);
      if (how === undefined) {
        node.textContent = text;
      } else {
        how();
      }
    }
  }
}

function whereOf(row: RunRow): string {
  return `#${row.number} ${row.experiment}`;
}

/** How far it is and how long it takes; of what has ended, how long ago that was. */
function timeOf(row: RunRow, { trans, now }: RowContext): string {
  if (hasEnded(row.status)) {
    return trans.__('%1 ago', age(now - (row.ended ?? row.created)));
  }
  if (row.started === null) {
    return row.progress?.text || lookOf(row.status, trans).label;
  }
  const done = row.progress?.done ?? null;
  const elapsed = ticking(now - row.started);
  return done === null ? elapsed : `${Math.floor(100 * done)} % · ${elapsed}`;
}

function age(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const steps: readonly [number, string][] = [
    [31_536_000, 'y'],
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min']
  ];
  const [size, unit] = steps.find(([size]) => whole >= size) ?? [1, 's'];
  return `${Math.floor(whole / size)} ${unit}`;
}

/** All of a row in words. Elapsed seconds are left out, or it would be read out every second. */
function nameOf(row: RunRow, { trans, metric }: RowContext): string {
  const value = metric === '' ? undefined : row.metrics[metric];
  const done = row.progress?.done ?? null;
  return [
    row.name,
    lookOf(row.status, trans).label,
    done === null || hasEnded(row.status) ? '' : `${Math.floor(100 * done)} %`,
    whereOf(row),
    value === undefined ? '' : `${metric} ${number(value)}`,
    row.ended !== null && row.started !== null
      ? trans.__('took %1', duration(row.ended - row.started))
      : ''
  ]
    .filter(part => part !== '')
    .join(', ');
}
