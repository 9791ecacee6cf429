import type { LiveAsked, LiveTold } from '../api';
import type { Asked, RunView } from '../protocol';
import type { IServerView, ViewListener } from '../tokens';

/** Runs that the server follows for a view; what the page has set outlives a lost connection. */
export class ServerView implements IServerView {
  /** Called once it is disposed or cannot be shown. */
  closed: () => void = () => undefined;
  private readonly values = new Map<string, unknown>();
  private waiting: Asked[] = [];
  private wasOpen = false;
  private gone = false;

  constructor(
    private readonly name: string,
    private readonly place: string,
    private readonly runs: readonly string[],
    private readonly listener: ViewListener,
    private readonly send: (message: LiveAsked) => boolean
  ) {}

  get isDisposed(): boolean {
    return this.gone;
  }

  set<Name extends keyof RunView>(name: Name, value: RunView[Name]): void {
    this.values.set(name, value);
    this.tell({ kind: 'set', view: this.name, name, value });
  }

  ask(asked: Asked): void {
    if (!this.tell({ kind: 'ask', view: this.name, asked })) {
      this.waiting.push(asked);
    }
  }

  dispose(): void {
    if (!this.gone) {
      this.tell({ kind: 'close', view: this.name });
      this.end();
    }
  }

  /** Over a new connection: open it, as the page has set it, and ask what is still to be asked. */
  reopen(): void {
    const { name, place, runs } = this;
    this.send({ kind: 'open', view: name, place, runs: [...runs] });
    for (const [each, value] of this.values) {
      this.send({ kind: 'set', view: name, name: each, value });
    }
    const waiting = this.waiting;
    this.waiting = [];
    if (this.wasOpen) {
      this.listener.reopened?.();
    }
    this.wasOpen = true;
    waiting.forEach(asked => this.ask(asked));
  }

  hear(told: LiveTold, buffers: readonly DataView[]): void {
    if (told.kind === 'state' && told.name !== undefined) {
      // The schema says of a state only that it is one; which, its name says.
      this.listener.state(told.name as keyof RunView, told.value as never);
    } else if (told.kind === 'told' && told.told !== undefined) {
      this.listener.told(told.told, buffers);
    } else if (told.kind === 'failed' && told.problem !== undefined) {
      this.end();
      this.listener.failed(told.problem);
    }
  }

  private tell(message: LiveAsked): boolean {
    // Before it is opened, `reopen` says everything in its order.
    return !this.gone && this.wasOpen && this.send(message);
  }

  private end(): void {
    this.gone = true;
    this.closed();
  }
}
