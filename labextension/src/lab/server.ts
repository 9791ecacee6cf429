import { Signal, type ISignal } from '@lumino/signaling';

import type { IRunService } from '../tokens';

/** What commands must know of the server before they are asked to do anything. */
export class Server {
  constructor(readonly service: IRunService) {
    this.ask();
    service.placesChanged.connect(() => {
      this.ask();
      this._changed.emit();
    });
  }

  /** Whether the server only shows runs. */
  get isReadOnly(): boolean {
    return this.readOnly;
  }

  /** Commands may be enabled or not as before. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  private ask(): void {
    void this.service.hello.then(
      hello => {
        if (hello.read_only !== this.readOnly) {
          this.readOnly = hello.read_only;
          this._changed.emit();
        }
      },
      // The service itself tells of a server that does not answer.
      () => undefined
    );
  }

  private readOnly = false;
  private readonly _changed = new Signal<this, void>(this);
}
