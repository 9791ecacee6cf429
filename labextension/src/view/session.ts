import type {
  Asked,
  ChildTable,
  FileBytes,
  LogPiece,
  PlotData,
  RunHead,
  RunView,
  Told
} from '../protocol';
import { LogLines } from './log_lines';
import type { AnyModel } from './model';
import { nobodyFor } from './words';

type Shared = 'runs' | 'tabs' | 'tab' | 'options' | 'charts' | 'backs';
type Own = 'tab' | 'shown' | 'beat' | 'hosted' | 'options';
type Listener<Value> = (value: Value) => void;

const SHARED: readonly Shared[] = ['runs', 'tabs', 'tab', 'options', 'charts', 'backs'];
// The answers that a view that comes later, or a tab that is opened again, begins with.
const KEPT: ReadonlySet<string> = new Set([
  ...['failure', 'files', 'facts', 'children', 'compare', 'system']
]);
const READY_EVERY = 1000;
const HIDDEN_AFTER = 3000;
const BEAT = 20_000;

/** A part of a file, as the kernel read it. */
export interface FilePart extends FileBytes {
  readonly data: Uint8Array<ArrayBuffer>;
}

interface Waiting {
  readonly resolve: Listener<FilePart>;
  readonly reject: Listener<Error>;
}

/** What all views of one model share: the kernel's state and last answers, the log, questions. */
export class Session {
  readonly log = new LogLines();
  /** When `runs` came, by this browser's steady clock. */
  runsCame = performance.now();
  private readonly listeners = new Map<string, Set<Listener<never>>>();
  private readonly kept = new Map<string, Told>();
  private readonly waiting = new Map<string, Waiting>();
  private readonly visible = new Set<object>();
  private readonly ended = new AbortController();
  private readyAsked = -Infinity;
  private hearsLog = false;
  private hiding = 0;
  private asking = 0;
  private beating = 0;
  private lead = '';

  constructor(readonly model: AnyModel) {
    for (const name of SHARED) {
      this.follow(`change:${name}`, () => this.changed(name));
    }
    this.follow('change:log', () => this.takeSharedLog());
    this.follow('msg:custom', (told: Told, buffers?: DataView[]) => this.hear(told, buffers ?? []));
    this.follow('comm_live_update', () => this.askReady());
    this.lead = this.run?.id ?? '';
    this.takeSharedLog();
    this.askReady();
  }

  /** The run that leads. */
  get run(): RunHead | undefined {
    return this.get('runs')[0];
  }

  /** A part of the state shared with the kernel. */
  get<Name extends keyof RunView>(name: Name): RunView[Name] {
    return this.model.get(name) as RunView[Name];
  }

  /** Change a part of the state shared with the kernel. */
  set<Name extends Own>(name: Name, value: RunView[Name]): void {
    if (this.get(name) !== value) {
      this.model.set(name, value);
      this.model.save_changes();
    }
  }

  /** Send a question to the kernel; whether it could be sent. */
  ask(asked: Asked): boolean {
    try {
      this.model.send(asked);
      return true;
    } catch {
      return false; // The kernel is gone: what stands here stays readable.
    }
  }

  /** The last answer of a kind, if there was one for the runs that are shown. */
  answer(kind: Told['kind']): Told | undefined {
    return this.kept.get(kind);
  }

  /** Hear of changes of shared state. */
  onChange(name: Shared, listener: () => void, signal: AbortSignal): void {
    this.listen(`change:${name}`, listener, signal);
  }

  /** Hear the kernel's answers of a kind. */
  onTold(kind: Told['kind'], listener: Listener<Told>, signal: AbortSignal): void {
    this.listen(`told:${kind}`, listener, signal);
  }

  /** Hear the number of the first line of the log that changed; minus infinity if all did. */
  onLog(listener: Listener<number>, signal: AbortSignal): void {
    this.listen('log', listener, signal);
  }

  /** Hear that other runs are shown, so that nothing of the ones before may stay. */
  onOtherRun(listener: () => void, signal: AbortSignal): void {
    this.listen('other', listener, signal);
  }

  /** Hear the lines of charts, where the page draws them itself. */
  onPlot(listener: Listener<{ data: PlotData; buffer: DataView }>, signal: AbortSignal): void {
    this.listen('plot', listener, signal);
  }

  /** Hear that all is asked for anew, as after a kernel or a connection was lost. */
  onReady(listener: () => void, signal: AbortSignal): void {
    this.listen('ready', listener, signal);
  }

  /** The address of a file of the run that leads, where files have one. */
  fileUrl(path: string, download = false): string | undefined {
    return this.model.fileUrl?.(path, download);
  }

  /** A part of a file of the run that leads, or of another; fails with the kernel's words. */
  bytes(
    path: string,
    from: number,
    count: number,
    signal: AbortSignal,
    run?: string
  ): Promise<FilePart> {
    const token = Math.random().toString(36).slice(2);
    return new Promise((resolve, reject) => {
      const settled = (): void => void this.waiting.delete(token);
      signal.addEventListener('abort', () => {
        settled();
        reject(new Error('given up'));
      });
      this.waiting.set(token, { resolve, reject });
      const asked: Asked = { kind: 'bytes', path, from, count, token };
      if (signal.aborted || !this.ask(run === undefined ? asked : { ...asked, run })) {
        settled();
        reject(new Error(nobodyFor(path)));
      }
    });
  }

  /** Note whether a view is on screen; the kernel hears when the last one is gone for a while. */
  setVisible(view: object, visible: boolean): void {
    if (visible) {
      this.visible.add(view);
    } else {
      this.visible.delete(view);
    }
    window.clearTimeout(this.hiding);
    if (this.visible.size > 0) {
      this.set('shown', true);
    } else {
      this.hiding = window.setTimeout(() => this.set('shown', false), HIDDEN_AFTER);
    }
    this.keepBeating();
  }

  /** Stop listening to the model. */
  close(): void {
    window.clearTimeout(this.hiding);
    window.clearTimeout(this.asking);
    window.clearInterval(this.beating);
    this.ended.abort();
  }

  private keepBeating(): void {
    window.clearInterval(this.beating);
    if (this.visible.size > 0) {
      this.beating = window.setInterval(() => this.set('beat', this.get('beat') + 1), BEAT);
    }
  }

  private follow(name: string, callback: (...values: never[]) => void): void {
    this.model.on(name, callback);
    this.ended.signal.addEventListener('abort', () => this.model.off(name, callback));
  }

  private listen(name: string, listener: Listener<never>, signal: AbortSignal): void {
    const all = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, all.add(listener));
    signal.addEventListener('abort', () => all.delete(listener));
  }

  private emit<Value>(name: string, value: Value): void {
    for (const listener of this.listeners.get(name) ?? []) {
      (listener as Listener<Value>)(value);
    }
  }

  private changed(name: Shared): void {
    if (name === 'runs') {
      this.runsCame = performance.now();
      const lead = this.run?.id ?? '';
      if (lead !== this.lead) {
        this.lead = lead;
        this.forgetRun();
      }
    }
    this.emit(`change:${name}`, undefined);
  }

  private forgetRun(): void {
    this.kept.clear();
    this.log.clear();
    this.emit('log', -Infinity);
    this.emit('other', undefined);
    // The kernel sends the other log by itself, unless what it sent came before what shows the run.
    window.setTimeout(() => this.log.file === '' && this.askReady(), READY_EVERY);
  }

  private hear(told: Told, buffers: readonly DataView[]): void {
    if (told.kind === 'log' && told.log) {
      this.takeLog(told.log);
    }
    if (told.kind === 'bytes' && told.bytes) {
      this.deliver(told.bytes, buffers[0]);
    }
    if (told.kind === 'plot' && told.plot && buffers[0]) {
      this.emit('plot', { data: told.plot, buffer: buffers[0] });
      return;
    }
    if (told.kind === 'said' && told.bad) {
      this.waiting.forEach(one => one.reject(new Error(told.said ?? '')));
      this.waiting.clear();
    }
    const whole = told.children === undefined ? told : this.withOthers(told, told.children);
    if (whole === null) {
      this.ask({ kind: 'children' });
      return;
    }
    if (KEPT.has(whole.kind)) {
      this.kept.set(whole.kind, whole);
    }
    this.emit(`told:${whole.kind}`, whole);
  }

  /** A table with the rows that did not change, which stay the same objects; `null` without them. */
  private withOthers(told: Told, table: ChildTable): Told | null {
    if (!table.partial) {
      return told;
    }
    const known = this.kept.get('children')?.children;
    const changed = new Map(table.rows.map(row => [row.key, row]));
    const rows = known?.rows.map(row => changed.get(row.key) ?? row);
    return rows === undefined ? null : { ...told, children: { ...table, rows, partial: false } };
  }

  private takeLog(piece: LogPiece): void {
    this.hearsLog = true;
    const first = this.log.apply(piece);
    if (first !== null) {
      this.emit('log', first);
    } else if (piece.file === this.log.file || this.log.file === '') {
      this.askReady();
    }
  }

  private deliver(bytes: FileBytes, buffer: DataView | undefined): void {
    const { resolve } = this.waiting.get(bytes.token) ?? {};
    this.waiting.delete(bytes.token);
    // A copy: the message's buffer goes when its handler returns.
    const view = buffer && new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    resolve?.({ ...bytes, data: new Uint8Array(view ?? []) });
  }

  private takeSharedLog(): void {
    const log = this.get('log');
    if (!this.hearsLog && log) {
      this.log.apply({ ...log, reset: true });
      this.emit('log', -Infinity);
    }
  }

  /** Ask for the log anew; soon, but not more than once in a while. */
  private askReady(): void {
    if (this.asking === 0) {
      const wait = Math.max(0, this.readyAsked + READY_EVERY - performance.now());
      this.asking = window.setTimeout(() => {
        this.asking = 0;
        this.readyAsked = performance.now();
        this.ask({ kind: 'ready' });
        this.emit('ready', undefined);
      }, wait);
    }
  }
}
