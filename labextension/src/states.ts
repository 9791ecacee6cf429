import type { TranslationBundle } from '@jupyterlab/translation';

import { svg } from './dom';

/** How a state looks: a tone that the style sheet colours, and a small sign for those who see no colours. */
export interface StateLook {
  readonly tone: 'waiting' | 'active' | 'good' | 'bad' | 'stopped';
  readonly label: string;
  readonly path: string;
}

/** Whoever translates the words of a page. */
export type Words = Pick<TranslationBundle, '__'>;

const CLOCK = 'M8 4.5v3.7l2.4 1.5';
const PLAY = 'M6.6 5v6l4.6-3z';
const TICK = 'M5 8.3l2.1 2.1L11 6';
const CROSS = 'M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8';
const BAR = 'M5.2 8h5.6';

/** The look of a v1 state; a state not known here is shown by its own name. */
export function lookOf(status: string, trans: Words): StateLook {
  return knownLooks(trans)[status] ?? { tone: 'waiting', label: status, path: CLOCK };
}

function knownLooks(trans: Words): Readonly<Record<string, StateLook>> {
  return {
    NotStarted: { tone: 'waiting', label: trans.__('Not started'), path: CLOCK },
    Preparing: { tone: 'waiting', label: trans.__('Preparing'), path: CLOCK },
    Queued: { tone: 'waiting', label: trans.__('Queued'), path: CLOCK },
    Scaling: { tone: 'waiting', label: trans.__('Scaling'), path: CLOCK },
    Starting: { tone: 'active', label: trans.__('Starting'), path: PLAY },
    Running: { tone: 'active', label: trans.__('Running'), path: PLAY },
    Finalizing: { tone: 'active', label: trans.__('Finalizing'), path: PLAY },
    'Post-processing': { tone: 'active', label: trans.__('Post-processing'), path: PLAY },
    CancelRequested: { tone: 'stopped', label: trans.__('Cancel requested'), path: BAR },
    Completed: { tone: 'good', label: trans.__('Completed'), path: TICK },
    Failed: { tone: 'bad', label: trans.__('Failed'), path: CROSS },
    Canceled: { tone: 'stopped', label: trans.__('Canceled'), path: BAR }
  };
}

/** Whether a run in this v1 state will never be in another. */
export function hasEnded(status: string): boolean {
  return ['Completed', 'Failed', 'Canceled'].includes(status);
}

/** The sign of a state, hidden from screen readers because the label stands beside it. */
export function signOf(look: StateLook): SVGElement {
  return svg(
    'svg',
    { class: 'aml-State-sign', viewBox: '0 0 16 16', 'aria-hidden': 'true' },
    svg('circle', { cx: '8', cy: '8', r: '7' }),
    svg('path', { d: look.path })
  );
}
