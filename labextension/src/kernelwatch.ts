import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { type ISignal, Signal } from '@lumino/signaling';

type ISessionContext = DocumentRegistry.Context['sessionContext'];
type Status = Parameters<Parameters<ISessionContext['statusChanged']['connect']>[0]>[1];
type Message = Parameters<Parameters<ISessionContext['iopubMessage']['connect']>[0]>[1];
type Connection = ISessionContext['session'];

/** How a kernel lost all its widgets. */
export type Loss = 'restarted' | 'ended';

const LOSSES: Partial<Record<Status, Loss>> = {
  restarting: 'restarted',
  autorestarting: 'restarted',
  dead: 'ended',
  terminating: 'ended'
};

/** Tells the outputs of one notebook what becomes of the widgets in its kernel. */
export class KernelWatch {
  constructor(private readonly session: ISessionContext) {
    this.kernelId = session.session?.kernel?.id;
    session.statusChanged.connect(this.onStatus, this);
    session.connectionStatusChanged.connect(this.onConnection, this);
    session.iopubMessage.connect(this.onMessage, this);
    session.kernelChanged.connect(this.onKernel, this);
  }

  /** The kernel has lost all that it held. */
  get lost(): ISignal<this, Loss> {
    return this._lost;
  }

  /** The kernel may hold other widgets than before: `holds` will ask it anew. */
  get stirred(): ISignal<this, void> {
    return this._stirred;
  }

  /** Whether the kernel holds this widget; `null` where it does not say. It answers when it is idle. */
  async holds(modelId: string): Promise<boolean | null> {
    this.asked ??= widgetsIn(this.session.session);
    const held = await this.asked;
    return held === null ? null : held.has(modelId);
  }

  /** Watch no longer. */
  dispose(): void {
    Signal.clearData(this);
  }

  private onStatus(_: ISessionContext, status: Status): void {
    const loss = LOSSES[status];
    if (loss !== undefined) {
      this._lost.emit(loss);
    } else if (status === 'starting') {
      // The first that is seen of a restart that was asked for in another window.
      this.stir();
    }
  }

  /** A kernel that was restarted says so at once, or before anybody hears it: then its next word tells. */
  private onMessage(_: ISessionContext, message: Message): void {
    const { session } = message.header;
    // Some kernels answer by the name of who asked; they never tell.
    if ('session' in message.parent_header && message.parent_header.session === session) {
      return;
    }
    const before = this.process;
    this.process = session;
    if (before !== undefined && before !== this.process) {
      this.stir();
    }
  }

  private onConnection(_: ISessionContext, status: string): void {
    if (status === 'connected') {
      this.stir();
    }
  }

  private onKernel(): void {
    const before = this.kernelId;
    this.kernelId = this.session.session?.kernel?.id;
    if (this.kernelId === before) {
      return;
    }
    if (before !== undefined) {
      this._lost.emit('ended');
    }
    this.stir();
  }

  private stir(): void {
    this.asked = null;
    this._stirred.emit();
  }

  private asked: Promise<ReadonlySet<string> | null> | null = null;
  private kernelId: string | undefined;
  /** What the kernel's process names itself in all that it says. */
  private process: string | undefined;
  private readonly _lost = new Signal<this, Loss>(this);
  private readonly _stirred = new Signal<this, void>(this);
}

/** The ids of the widgets in a kernel, or `null` where it cannot be asked. */
async function widgetsIn(session: Connection): Promise<ReadonlySet<string> | null> {
  try {
    const reply = await session?.kernel?.requestCommInfo({ target_name: 'jupyter.widget' });
    return reply?.content.status === 'ok' ? new Set(Object.keys(reply.content.comms)) : null;
  } catch {
    // The kernel ended before it answered.
    return null;
  }
}
