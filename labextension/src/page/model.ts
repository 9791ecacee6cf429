import type { Problem } from '../api';
import type { Asked, RunView, Told } from '../protocol';
import type { IRunService, IServerView } from '../tokens';
import type { AnyModel } from '../view/model';

type Name = keyof RunView;
type Listener = (...values: never[]) => void;

/** Tabs that a page has besides those of the live view, each with the one that it stands behind. */
const MORE_TABS: Readonly<Record<string, string>> = { code: 'files' };
/** Of these the page decides, once it has; what the server begins with comes too late. */
const OWN: ReadonlySet<Name> = new Set<Name>(['tab', 'options', 'shown', 'beat', 'hosted']);

/** What a view of a run asks the application around it to do. */
export interface PageHost {
  /** Show another run on a page of its own. */
  open(run: string): void;
  /** Compare runs on a page of their own. */
  compare(runs: readonly string[]): void;
  /** The run cannot be shown, or no more. */
  failed(problem: Problem): void;
}

/** The state that a page shares with the server about one run, as the live view's with a kernel. */
export class ServerModel implements AnyModel {
  private readonly state: RunView;
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly changed = new Set<Name>();
  private readonly decided = new Set<Name>();
  private readonly view: IServerView;
  private elsewhere = false;

  constructor(
    private readonly service: IRunService,
    private readonly place: string,
    private readonly run: string,
    private readonly host: PageHost,
    tab: string
  ) {
    this.state = { ...emptyState(), tab };
    this.view = service.live.open(place, [run], {
      state: (name, value) => this.take(name, value),
      told: (told, buffers) => this.hear(told, buffers),
      reopened: () => this.emit('comm_live_update'),
      failed: problem => host.failed(problem)
    });
    if (tab !== '') {
      this.decided.add('tab');
      this.view.set('tab', tab);
    }
  }

  /** Follow the run no more. */
  dispose(): void {
    this.listeners.clear();
    this.view.dispose();
  }

  /** Whether the page has set a part of the state, and not the server. */
  hasDecided(name: Name): boolean {
    return this.decided.has(name);
  }

  get(name: string): unknown {
    return this.state[name as Name];
  }

  set(name: string, value: unknown): void {
    const known = name as Name;
    this.changed.add(known);
    this.decided.add(known);
    this.put(known, value as never);
  }

  save_changes(): void {
    for (const name of this.changed) {
      this.view.set(name, this.state[name]);
    }
    this.changed.clear();
  }

  send(content: unknown): void {
    const asked = content as Asked;
    if (asked.kind === 'open' && asked.run !== undefined) {
      this.host.open(asked.run);
      this.settle();
    } else if (asked.kind === 'against' && asked.run !== undefined) {
      this.host.compare([this.run, asked.run]);
      this.settle();
    } else {
      this.view.ask(asked);
    }
  }

  on(name: string, callback: Listener): void {
    const all = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, all.add(callback));
  }

  off(name: string, callback: Listener): void {
    this.listeners.get(name)?.delete(callback);
  }

  fileUrl(path: string, download: boolean): string {
    return this.service.fileUrl(this.place, this.run, path, download);
  }

  /** Let a button that waits know that its question was answered, by a page that opens. */
  private settle(): void {
    this.emit('msg:custom', { kind: 'said', said: '' }, []);
  }

  private take<Known extends Name>(name: Known, value: RunView[Known]): void {
    if (name === 'backs') {
      this.elsewhere = (value as readonly string[]).length > 0;
      return;
    }
    if (this.elsewhere) {
      this.leave(name, value);
    } else if (!(OWN.has(name) && this.decided.has(name))) {
      this.put(name, name === 'tabs' ? (withMore(value as string[]) as never) : value);
    }
  }

  /** A run that was repeated gets a page of its own, and this one stays with its run. */
  private leave(name: Name, value: unknown): void {
    const [lead] = name === 'runs' ? (value as RunView['runs']) : [];
    if (lead !== undefined && lead.id !== this.run) {
      this.host.open(lead.id);
      this.view.ask({ kind: 'back' });
    }
  }

  private put<Known extends Name>(name: Known, value: RunView[Known]): void {
    this.state[name] = value;
    this.emit(`change:${name}`);
  }

  private hear(told: Told, buffers: readonly DataView[]): void {
    if (!this.elsewhere || told.kind === 'said') {
      this.emit('msg:custom', told, [...buffers]);
    }
  }

  private emit(name: string, ...values: unknown[]): void {
    for (const listener of [...(this.listeners.get(name) ?? [])]) {
      (listener as (...values: unknown[]) => void)(...values);
    }
  }
}

function withMore(tabs: readonly string[]): string[] {
  return tabs.flatMap(tab => {
    const behind = Object.keys(MORE_TABS).filter(more => MORE_TABS[more] === tab);
    return [tab, ...behind];
  });
}

function emptyState(): RunView {
  return {
    runs: [],
    tabs: [],
    tab: '',
    shown: false,
    beat: 0,
    hosted: false,
    options: {
      ...{ filter: '', axis: 'step', log_x: false, log_y: false, smoothing: 0 },
      ...{ grouping: 'each', most: 24, zoomed: false }
    } as RunView['options'],
    charts: { metrics: 0, matching: 0, charts: 0, drawn: 0, reading: 1, figures: [] },
    log: {
      ...{ file: '', files: [], first: 0, reset: true, lines: [] },
      ...{ cut: 0, passed: 0, size: 0, ended: false }
    },
    backs: []
  };
}
