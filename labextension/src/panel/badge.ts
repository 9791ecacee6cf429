import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { Widget } from '@lumino/widgets';

import type { Counts, RunList, RunRow } from '../api';
import type { IRunService } from '../tokens';
import type { Memory } from './memory';

/** Failed runs that nobody has looked at yet, for each workspace. */
export interface KeptOfBadge {
  failed: Readonly<Record<string, readonly string[]>>;
  /** When they were looked at last, in seconds since the epoch. */
  looked: Readonly<Record<string, number>>;
}

/** More than that need not be told apart. */
const MOST = 99;

/** The tab of the sidebar says how many runs go on, and how many have failed since it was looked at. */
export class Badge implements IDisposable {
  private watching: IDisposable | null = null;
  private place = '';
  private running = 0;
  private readonly observer: IntersectionObserver;
  isDisposed = false;

  constructor(
    private readonly panel: Widget,
    private readonly service: IRunService,
    private readonly memory: Memory<KeptOfBadge>,
    private readonly trans: TranslationBundle
  ) {
    this.observer = new IntersectionObserver(() => this.looked());
    this.observer.observe(panel.node);
    service.placesChanged.connect(this.watch, this);
    void memory.ready.then(() => this.watch());
  }

  dispose(): void {
    this.isDisposed = true;
    this.observer.disconnect();
    this.watching?.dispose();
    this.service.placesChanged.disconnect(this.watch, this);
  }

  private watch(): void {
    const { place } = this.service;
    if (place === undefined || place.key === this.place) {
      this.draw();
      return;
    }
    this.watching?.dispose();
    this.place = place.key;
    this.running = 0;
    this.watching = this.service.live.watch(place.key, 'counts', {
      counts: counts => this.counted(counts),
      ended: rows => this.ended(rows)
    });
    void this.askMissed(place.key);
    this.draw();
  }

  /** Runs that have failed while no page was there to hear of it. */
  private async askMissed(place: string): Promise<void> {
    const since = this.memory.get('looked', {})[place];
    if (since === undefined) {
      this.noteLooked();
      return;
    }
    const query = { place, filter: 'state:failed', sort: 'created', limit: MOST };
    const { rows } = await this.service.get<RunList>('runs', query).catch(() => ({ rows: [] }));
    if (place === this.place) {
      this.ended(rows.filter(({ ended }) => (ended ?? 0) > since));
    }
  }

  private counted({ running }: Counts): void {
    this.running = running;
    this.draw();
  }

  private ended(rows: readonly RunRow[]): void {
    const failed = rows.filter(({ status }) => status === 'Failed').map(({ id }) => id);
    if (failed.length > 0 && !this.isLookedAt) {
      this.keep([...new Set([...this.unseen, ...failed])].slice(-MOST));
    }
  }

  private get isLookedAt(): boolean {
    return this.panel.isVisible && !document.hidden;
  }

  private looked(): void {
    // Also when it goes out of sight: what failed until now has been seen.
    this.noteLooked();
    if (this.isLookedAt && this.unseen.length > 0) {
      this.keep([]);
    }
  }

  private noteLooked(): void {
    const looked = this.memory.get('looked', {});
    this.memory.set('looked', { ...looked, [this.place]: Date.now() / 1000 });
  }

  private get unseen(): readonly string[] {
    return this.memory.get('failed', {})[this.place] ?? [];
  }

  private keep(failed: readonly string[]): void {
    this.memory.set('failed', { ...this.memory.get('failed', {}), [this.place]: failed });
    this.draw();
  }

  private draw(): void {
    const { trans, running } = this;
    const failed = this.unseen.length;
    const { title } = this.panel;
    const words = [
      running > 0 ? trans._n('%1 running', '%1 running', running) : '',
      failed > 0 ? trans._n('%1 failed since you looked', '%1 failed since you looked', failed) : ''
    ].filter(word => word !== '');
    title.caption = [trans.__('Runs'), ...words].join(' · ');
    // Data of a title become attributes of its tab, which the style sheet shows; others are JupyterLab's.
    const others = Object.entries(title.dataset).filter(([name]) => !name.startsWith('aml-'));
    title.dataset = {
      ...Object.fromEntries(others),
      ...(running > 0 ? { 'aml-running': shown(running) } : {}),
      ...(failed > 0 ? { 'aml-failed': shown(failed) } : {})
    };
  }
}

function shown(count: number): string {
  return count > MOST ? `${MOST}+` : String(count);
}
