import { element } from '../dom';
import { count } from '../format';
import type { ChartOptions, ChartSummary } from '../protocol';
import {
  button,
  choice,
  debounced,
  searchField,
  setPressed,
  setShown,
  setText,
  toggle
} from './controls';
import type { Session } from './session';
import { openTab } from './tabs';
import { trans } from './words';

const PAUSE = 150;
const SMOOTHEST = 0.99;

/** What is set above the charts: which, on which axes, how smooth. */
export class ChartBar {
  readonly node = element('div', {
    ...{ class: 'aml-v-chart-bar aml-v-part', role: 'group', 'aria-label': trans.__('Charts') }
  });
  /** Stands below the charts where there are more. */
  readonly more = element('div', { class: 'aml-v-more-charts aml-v-part' });
  private readonly filter: HTMLInputElement;
  private readonly found = element('span', { class: 'aml-v-muted', role: 'status' });
  private readonly axis: HTMLSelectElement;
  private readonly grouping: HTMLSelectElement;
  private readonly logX = toggle(trans.__('log x'), log_x => this.change({ log_x }));
  private readonly logY = toggle(trans.__('log y'), log_y => this.change({ log_y }));
  private readonly smoothing = element('input', {
    ...{ type: 'range', min: '0', max: String(SMOOTHEST), step: '0.01' },
    ...{ class: 'aml-v-slider', 'aria-label': trans.__('Smoothing') }
  });
  private readonly smoothed = element('output', { class: 'aml-v-number' });
  private readonly all = button(trans.__('Show everything'), () => this.change({ zoomed: false }));
  private readonly reading = element('span', { class: 'aml-v-muted aml-v-reading' });
  private readonly moreButton = button(trans.__('Show more charts'), () => this.showMore());

  constructor(private readonly session: Session, signal: AbortSignal) {
    const filterLater = debounced((filter: string) => this.change({ filter }), PAUSE, signal);
    const smoothLater = debounced((smoothing: number) => this.change({ smoothing }), PAUSE, signal);
    this.filter = searchField(trans.__('Filter metrics'), filterLater);
    this.axis = choice(trans.__('Horizontal axis'), axes(), axis => this.change({ axis }));
    this.grouping = choice(trans.__('Grouping'), groupings(), grouping => this.change({ grouping }));
    this.smoothing.addEventListener('input', () => {
      setText(this.smoothed, this.smoothing.value);
      smoothLater(Number(this.smoothing.value));
    });
    this.node.append(this.filter, this.found, ...this.settings(), this.all, this.reading);
    this.more.append(this.moreButton);
    session.onChange('options', () => this.update(), signal);
    session.onChange('charts', () => this.update(), signal);
    session.onChange('tab', () => this.update(), signal);
    session.onChange('tabs', () => this.update(), signal);
    this.update();
  }

  private settings(): Node[] {
    const parts = [trans.__('Smoothing'), this.smoothing, this.smoothed];
    const slider = element('label', { class: 'aml-v-field' }, ...parts);
    return [this.axis, this.logX, this.logY, slider, this.grouping];
  }

  private change(changes: Partial<ChartOptions>): void {
    this.session.set('options', { ...this.session.get('options'), ...changes });
  }

  private showMore(): void {
    const { most } = this.session.get('options');
    // As many again, so that thousands are a few steps away.
    this.change({ most: Math.max(most, this.session.get('charts').drawn) * 2 });
  }

  private update(): void {
    const summary: Partial<ChartSummary> = this.session.get('charts');
    const { metrics = 0, matching = 0, charts = 0, drawn = 0, reading = 1 } = summary;
    const isOpen = openTab(this.session) === 'overview';
    setShown(this.node, isOpen && (metrics > 0 || reading < 1));
    setText(this.found, metricsFound(metrics, matching));
    setShown(this.reading, reading < 1);
    setText(this.reading, trans.__('reading metrics: %1 %', Math.floor(100 * reading)));
    setShown(this.more, isOpen && drawn < charts);
    setText(this.moreButton, trans.__('Show more charts (%1 of %2)', count(drawn), count(charts)));
    this.updateControls(this.session.get('options'));
  }

  // A control that the reader has in hand is not moved by an older state that comes back.
  private updateControls(options: ChartOptions): void {
    const inHand = document.activeElement;
    if (inHand !== this.filter) {
      this.filter.value = options.filter;
    }
    if (inHand !== this.smoothing) {
      this.smoothing.value = String(options.smoothing);
      setText(this.smoothed, this.smoothing.value);
    }
    this.axis.value = options.axis;
    this.grouping.value = options.grouping;
    setPressed(this.logX, options.log_x);
    setPressed(this.logY, options.log_y);
    setShown(this.all, options.zoomed);
  }
}

function axes(): readonly (readonly [ChartOptions['axis'], string])[] {
  return [
    ['step', trans.__('by step')],
    ['time', trans.__('by time')],
    ['clock', trans.__('by clock')]
  ];
}

function groupings(): readonly (readonly [ChartOptions['grouping'], string])[] {
  return [
    ['each', trans.__('each alone')],
    ['prefix', trans.__('by prefix')],
    ['one', trans.__('all in one')]
  ];
}

function metricsFound(metrics: number, matching: number): string {
  return matching === metrics
    ? trans._n('%2 metric', '%2 metrics', metrics, count(metrics))
    : trans._n('%2 of %3 metric', '%2 of %3 metrics', metrics, count(matching), count(metrics));
}
