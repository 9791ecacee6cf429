import type { Asked, Told } from '../protocol';
import { button } from './controls';
import type { Notices } from './notices';
import type { Session } from './session';
import { busyWith, nobodyFor } from './words';

const PATIENCE = 15_000;

/** A button that asks the kernel for something, and shows that it waits for the answer. */
export class AskingButton {
  readonly node: HTMLButtonElement;
  /** Called with what the kernel said while this button waited. */
  onAnswer: (told: Told) => void = () => undefined;
  private timer = 0;
  private askedOf = '';

  constructor(
    private readonly words: string,
    private readonly asked: () => Asked,
    private readonly session: Session,
    private readonly notices: Notices,
    signal: AbortSignal
  ) {
    this.node = button(words, () => this.ask());
    session.onTold('said', told => this.hear(told), signal);
    session.onChange('runs', () => this.settleIfNew(), signal);
    signal.addEventListener('abort', () => this.settle());
  }

  /** Whether an answer is awaited. */
  get waits(): boolean {
    return this.timer !== 0;
  }

  /** Stop waiting: the answer is there. */
  settle(): void {
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.node.removeAttribute('aria-busy');
  }

  // Elapsed time and progress change all the time; states and runs are what a question changes.
  private settleIfNew(): void {
    if (this.states() !== this.askedOf) {
      this.settle();
    }
  }

  private states(): string {
    return this.session.get('runs').map(run => `${run.id} ${run.status}`).join();
  }

  private hear(told: Told): void {
    if (this.waits) {
      this.settle();
      this.onAnswer(told);
    }
  }

  /** Ask, as a press of the button does; or ask for something that follows from it. */
  ask(asked: Asked = this.asked()): void {
    if (this.waits) {
      return;
    }
    if (!this.session.ask(asked)) {
      this.notices.say(nobodyFor(this.words), true);
      return;
    }
    this.askedOf = this.states();
    this.node.setAttribute('aria-busy', 'true');
    this.timer = window.setTimeout(() => {
      this.settle();
      this.notices.say(busyWith(this.words));
    }, PATIENCE);
  }
}
