import type { ServerConnection } from '@jupyterlab/services';
import { URLExt } from '@jupyterlab/coreutils';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';

import { API, type LiveAsked, type Place } from '../api';
import type { ILive, IServerView, PlaceListener, ViewListener } from '../tokens';
import { decode } from './message';
import { API_PATH } from './rest';
import { ServerView } from './serverview';
import { Watched, type Level } from './watched';

/** Milliseconds that a connection is kept for whoever listens next. */
const KEPT = 10_000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
/** Milliseconds after which a connection counts as good, and the next wait is short again. */
const GOOD = 5_000;

/** Why the server closed a connection, as far as something can be done about it. */
export const Close = {
  badMessage: 4400,
  notLoggedIn: 4401,
  notAllowed: 4403,
  noPlace: 4404,
  tooSlow: 4408,
  otherVersion: 4426
} as const;

/** What the connection needs of the service that owns it. */
export interface LiveOwner {
  /** It was closed for a reason that trying again does not mend. */
  stopped(code: number): void;
  /** Whether there is such a workspace, as far as is known. */
  knows(place: string): boolean;
  /** Workspaces have come or gone; these are all. */
  placesTold(places: readonly Place[]): void;
  /** A workspace is gone; the promise comes when places are known anew. */
  placeGone(): Promise<unknown>;
  /** Whether a connection that never opened may open if it is tried again. */
  mayOpen(): Promise<boolean>;
}

/**
 * The one websocket of a page. It is open while somebody listens and, where the network fails, tries
 * again ever more rarely; while the page is hidden not at all. Runs are resumed where they were left.
 */
export class Live implements ILive {
  private readonly places = new Map<string, Watched>();
  private readonly views = new Map<string, ServerView>();
  private readonly changed = new Signal<ILive, boolean>(this);
  private socket: WebSocket | null = null;
  private timer = 0;
  private wait = FIRST_WAIT;
  private opened = 0;
  private failures = 0;
  private isStopped = false;
  private isConnected = false;
  private lastView = 0;

  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly owner: LiveOwner
  ) {
    document.addEventListener('visibilitychange', () => this.visibilityChanged());
    window.addEventListener('online', () => this.connectNow());
  }

  get connected(): boolean {
    return this.isConnected;
  }

  get connectedChanged(): ISignal<ILive, boolean> {
    return this.changed;
  }

  watch(place: string, level: Level, listener: PlaceListener): IDisposable {
    const watched = this.watchedOf(place);
    watched.listeners.set(listener, level);
    if (this.isConnected) {
      this.tellLevel(place, watched);
      watched.greet(listener);
    }
    this.needed();
    return new DisposableDelegate(() => {
      watched.listeners.delete(listener);
      this.tellLevel(place, watched);
      this.needed();
    });
  }

  open(place: string, runs: readonly string[], listener: ViewListener): IServerView {
    const name = `view-${++this.lastView}`;
    const view = new ServerView(name, place, runs, listener, message => this.send(message));
    view.closed = () => {
      this.views.delete(name);
      this.needed();
    };
    this.views.set(name, view);
    if (this.isConnected) {
      view.reopen();
    }
    this.needed();
    return view;
  }

  /** A list was answered that has all changes up to `seq`: what comes after it must be told. */
  listed(place: string, seq: number): void {
    const watched = this.watchedOf(place);
    if (watched.mustStartAt(seq) && watched.told === 'rows') {
      watched.told = null;
      this.tellLevel(place, watched);
    }
  }

  /** The server has answered and its workspaces are known; what had given up tries again. */
  greeted(): void {
    this.tellLevels();
    if (this.isStopped) {
      this.isStopped = false;
      this.connectLater();
    }
  }

  // Connecting --------------------------------------------------------------------------------

  private get isNeeded(): boolean {
    return this.views.size > 0 || [...this.places.values()].some(one => one.level !== null);
  }

  /** Open what is needed now, and close a little later what no longer is. */
  private needed(): void {
    if (this.isNeeded) {
      if (this.socket === null && this.timer === 0) {
        this.connect();
      } else if (this.socket !== null) {
        this.setTimer(0);
      }
    } else if (this.socket !== null) {
      this.setTimer(KEPT, () => this.close());
    } else {
      this.setTimer(0);
    }
  }

  private setTimer(milliseconds: number, work?: () => void): void {
    window.clearTimeout(this.timer);
    this.timer = 0;
    if (work !== undefined) {
      this.timer = window.setTimeout(() => {
        this.timer = 0;
        work();
      }, milliseconds);
    }
  }

  private connectNow(): void {
    if (this.socket === null && this.isNeeded) {
      this.wait = FIRST_WAIT;
      this.setTimer(0);
      this.connect();
    }
  }

  private connect(): void {
    const unwanted = document.hidden || this.isStopped || !this.isNeeded;
    if (unwanted || this.socket !== null) {
      return;
    }
    const { WebSocket: Socket } = this.settings;
    const socket = new Socket(this.address());
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => this.onOpen(socket);
    socket.onmessage = event => this.onMessage(event);
    socket.onclose = event => this.onClose(socket, event.code);
    this.socket = socket;
  }

  private address(): string {
    const query = new URLSearchParams({ api: String(API) });
    const { appendToken, token, wsUrl } = this.settings;
    if (appendToken && token !== '') {
      query.set('token', token);
    }
    return `${URLExt.join(wsUrl, API_PATH, 'live')}?${query}`;
  }

  private onOpen(socket: WebSocket): void {
    if (socket !== this.socket) {
      return;
    }
    this.opened = Date.now();
    this.failures = 0;
    this.setConnected(true);
    for (const watched of this.places.values()) {
      watched.told = null;
    }
    this.tellLevels();
    for (const view of this.views.values()) {
      view.reopen();
    }
    this.needed();
  }

  private onClose(socket: WebSocket, code: number): void {
    if (socket !== this.socket) {
      return;
    }
    const wasOpen = this.isConnected;
    this.socket = null;
    this.setConnected(false);
    if (code === Close.otherVersion || code === Close.notLoggedIn || code === Close.notAllowed) {
      this.isStopped = true;
      this.owner.stopped(code);
    } else if (code === Close.noPlace) {
      void this.owner.placeGone().finally(() => this.connectLater());
    } else if (wasOpen && code === Close.tooSlow) {
      this.connect();
    } else if (!wasOpen && ++this.failures % 3 === 2) {
      // A refused handshake looks like a broken network; only an answer tells them apart.
      void this.owner.mayOpen().then(may => (may ? this.connectLater() : this.stop()));
    } else {
      this.connectLater();
    }
  }

  private connectLater(): void {
    if (this.opened > 0 && Date.now() - this.opened > GOOD + this.wait) {
      this.wait = FIRST_WAIT;
    }
    this.opened = 0;
    // Many pages must not come back in the same moment.
    this.setTimer(this.wait * (0.75 + Math.random() / 2), () => this.connect());
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
  }

  private close(): void {
    const { socket } = this;
    this.socket = null;
    this.setConnected(false);
    socket?.close(1000);
  }

  private setConnected(connected: boolean): void {
    if (connected !== this.isConnected) {
      this.isConnected = connected;
      this.changed.emit(connected);
    }
  }

  private stop(): void {
    this.isStopped = true;
  }

  private visibilityChanged(): void {
    this.tellLevels();
    if (!document.hidden) {
      this.connectNow();
    }
  }

  // Talking -----------------------------------------------------------------------------------

  private watchedOf(place: string): Watched {
    let watched = this.places.get(place);
    if (watched === undefined) {
      watched = new Watched();
      this.places.set(place, watched);
    }
    return watched;
  }

  private tellLevels(): void {
    for (const [place, watched] of this.places) {
      this.tellLevel(place, watched);
    }
  }

  /** Tell the server how much of a place is wanted, if it does not know. */
  private tellLevel(place: string, watched: Watched): void {
    // A place that is gone would end the connection of all.
    if (this.isConnected && this.owner.knows(place)) {
      const message = watched.asked(place, document.hidden);
      if (message !== null) {
        this.send(message);
      }
    }
  }

  private send(message: LiveAsked): boolean {
    if (this.isConnected) {
      this.socket?.send(JSON.stringify(message));
    }
    return this.isConnected;
  }

  private onMessage(event: MessageEvent<string | ArrayBuffer>): void {
    const [told, buffers] = decode(event.data);
    if (told.places !== undefined) {
      this.owner.placesTold(told.places);
      this.tellLevels();
    } else if (told.view !== undefined) {
      this.views.get(told.view)?.hear(told, buffers);
    } else if (told.place !== undefined) {
      this.places.get(told.place)?.hear(told);
    }
  }
}
