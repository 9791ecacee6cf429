import { Signal, type ISignal } from '@lumino/signaling';
import type { ServerConnection } from '@jupyterlab/services';

import { API, type Hello, type Place, type Problem } from '../api';
import type { Words } from '../states';
import { ServerError, type IRunService, type Query } from '../tokens';
import { Close, Live } from './live';
import { Rest } from './rest';

/** Where it is remembered which workspace is looked at. */
export interface Memory {
  load(): Promise<string | undefined>;
  save(place: string): void;
}

/** Asks the server, and knows which workspaces there are. */
export class RunService implements IRunService {
  readonly live: Live;
  private readonly rest: Rest;
  private readonly changed = new Signal<IRunService, void>(this);
  private readonly troubled = new Signal<IRunService, ServerError>(this);
  private wrong: ServerError | null = null;
  private greeting: Promise<Hello> | null = null;
  private found: readonly Place[] = [];
  private chosen: string | undefined;

  constructor(
    settings: ServerConnection.ISettings,
    private readonly trans: Words,
    private readonly memory: Memory
  ) {
    this.rest = new Rest(settings, trans);
    this.live = new Live(settings, {
      stopped: code => this.stopped(code),
      knows: place => this.found.some(({ key }) => key === place),
      placesTold: places => this.know(places),
      placeGone: () => this.lookAgain().catch(() => undefined),
      mayOpen: () => this.mayOpen()
    });
  }

  get problem(): ServerError | null {
    return this.wrong;
  }

  get problemFound(): ISignal<IRunService, ServerError> {
    return this.troubled;
  }

  get hello(): Promise<Hello> {
    return this.greeting ?? this.lookAgain();
  }

  get places(): readonly Place[] {
    return this.found;
  }

  get placesChanged(): ISignal<IRunService, void> {
    return this.changed;
  }

  get place(): Place | undefined {
    return this.found.find(({ key }) => key === this.chosen) ?? this.found[0];
  }

  choosePlace(key: string): void {
    if (key !== this.place?.key) {
      this.chosen = key;
      this.memory.save(key);
      this.changed.emit();
    }
  }

  lookAgain(): Promise<Hello> {
    const greeting = this.greet();
    this.greeting = greeting;
    // Whoever needs the answer sees the error; nobody else must be troubled by it. Only where a
    // problem was told already, it may be another one by now.
    greeting.catch((error: ServerError) => {
      if (this.wrong !== null && error.status !== 0) {
        this.tell(error);
      }
    });
    return greeting;
  }

  async get<Answer>(path: string, query: Query = {}, signal?: AbortSignal): Promise<Answer> {
    const answer = await this.rest.ask<Answer>(path, query, signal ? { signal } : {});
    const { seq } = answer as { seq?: unknown };
    if (typeof seq === 'number' && typeof query.place === 'string') {
      this.live.listed(query.place, seq);
    }
    return answer;
  }

  post<Answer>(path: string, body: object = {}, query: Query = {}): Promise<Answer> {
    return this.rest.ask(path, query, { method: 'POST', body: JSON.stringify(body) });
  }

  fileUrl(place: string, run: string, path: string, download = false): string {
    return this.rest.fileUrl(place, run, path, download);
  }

  private async greet(): Promise<Hello> {
    const [hello, remembered] = await Promise.all([
      this.rest.ask<Hello>('hello', {}, {}),
      this.memory.load()
    ]);
    if (hello.api !== API) {
      throw new ServerError(this.problemOfVersion(hello), Close.otherVersion);
    }
    this.wrong = null;
    this.chosen ??= remembered;
    this.know(hello.places);
    this.live.greeted();
    return hello;
  }

  private know(places: readonly Place[]): void {
    const before = JSON.stringify([this.found, this.place]);
    this.found = places;
    if (before !== JSON.stringify([this.found, this.place])) {
      this.changed.emit();
    }
  }

  private async mayOpen(): Promise<boolean> {
    try {
      await this.lookAgain();
      return true;
    } catch (error) {
      const status = error instanceof ServerError ? error.status : 0;
      if (status === 0 || (status >= 500 && status < 600)) {
        return true;
      }
      this.tell(error as ServerError);
      return false;
    }
  }

  /** The connection was closed for good. Where versions differ, the greeting says which is older. */
  private stopped(code: number): void {
    const said = new ServerError(this.problemOfClose(code), code);
    if (code === Close.otherVersion) {
      this.lookAgain().catch((error: ServerError) => this.tell(error.status === code ? error : said));
    } else {
      this.tell(said);
    }
  }

  private tell(error: ServerError): void {
    this.wrong = error;
    this.troubled.emit(error);
  }

  private problemOfVersion(hello: Hello): Problem {
    const { trans } = this;
    const versions = trans.__('(server: version %1, interface %2; page: interface %3)', hello.version, String(hello.api), String(API));
    return hello.api > API
      ? {
          message: trans.__('This page is older than the aml_jupyter of the server.'),
          hint: trans.__(
            'Reload the page; if that does not help, update aml_jupyter where JupyterLab is installed %1.',
            versions
          )
        }
      : {
          message: trans.__('The aml_jupyter of the server is older than this page.'),
          hint: trans.__(
            'Restart the Jupyter server; if that does not help, update aml_jupyter where the server runs %1.',
            versions
          )
        };
  }

  private problemOfClose(code: number): Problem {
    const { trans } = this;
    return code === Close.otherVersion
      ? {
          message: trans.__('The server has another version of aml_jupyter than this page.'),
          hint: trans.__('Reload the page.')
        }
      : {
          message: trans.__('The Jupyter server does not show its runs to you.'),
          hint: trans.__('Log in to the server anew, and reload the page.')
        };
  }
}
