import { element } from '../dom';
import { duration, ticking } from '../format';
import type { RunHead, Stage } from '../protocol';
import { look } from './controls';
import { trans } from './words';

const MOST = 40;

/** The stages of a run as a slim bar, in proportion; the last one grows while the run goes on. */
export class TimeLine {
  readonly node = element('ol', { class: 'aml-v-timeline', 'aria-label': trans.__('Time line') });
  private stages: readonly Stage[] = [];
  private drawn = '';

  /** Show the stages of a run; `now` is the kernel's clock. */
  update(run: RunHead, now: number): void {
    const stages = run.stages.slice(-MOST);
    const drawn = JSON.stringify(stages);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.stages = stages;
      this.node.replaceChildren(...stages.map(segment));
    }
    this.node.hidden = stages.length === 0;
    this.grow(now);
  }

  /** Give each segment its share as of now. */
  grow(now: number): void {
    const lengths = this.stages.map(stage => Math.max(0, (stage.until ?? now) - stage.since));
    // Shares that add up to less than one would not fill the bar.
    const whole = lengths.reduce((sum, length) => sum + length, 0) || 1;
    this.stages.forEach((stage, index) => {
      const node = this.node.children[index];
      const seconds = lengths[index] ?? 0;
      if (node instanceof HTMLElement) {
        const length = stage.until === null ? ticking(seconds) : duration(seconds);
        node.style.flexGrow = String(Math.max((100 * seconds) / whole, 0.1));
        node.title = `${look(stage.state).label}: ${length}`;
        node.setAttribute('aria-label', node.title);
      }
    });
  }
}

function segment(stage: Stage): HTMLElement {
  const seen = look(stage.state);
  const now = stage.until === null ? ' aml-v-now' : '';
  return element(
    'li',
    { class: `aml-v-stage aml-v-${seen.tone}${now}` },
    element('span', { 'aria-hidden': 'true' }, seen.label)
  );
}
