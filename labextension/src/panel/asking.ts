/** What runs are grouped by; empty for not at all. */
export type By = '' | 'experiment' | 'notebook' | 'sweep';

/** Begins an order by a metric. */
export const METRIC = 'metric.';

/** Which runs are listed, and how. */
export interface Asking {
  readonly filter: string;
  readonly by: By;
  /** `live` puts what goes on first; else created, name, status, duration or a metric. */
  readonly sort: string;
  readonly descending: boolean;
  /** A metric that rows show besides. */
  readonly star: string;
}

export const USUAL: Asking = {
  filter: '',
  by: '',
  sort: 'live',
  descending: true,
  star: ''
};

/** The metric that rows show: the one they are sorted by, a starred one, or one that is filtered by. */
export function shownMetric(asking: Asking): string {
  if (asking.sort.startsWith(METRIC)) {
    return asking.sort.slice(METRIC.length);
  }
  return asking.star || (/(?:^|\s)metric\.([^\s<>=!]+)/.exec(asking.filter)?.[1] ?? '');
}

/** Whether places of runs in the list follow from what rows say, with no need to ask the server. */
export function isPlain({ filter, by, sort, descending }: Asking): boolean {
  return filter.trim() === '' && by === '' && sort === 'live' && descending;
}
