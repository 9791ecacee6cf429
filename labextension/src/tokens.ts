import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { Counts, Hello, Place, Problem, RunRow } from './api';
import type { Asked, RunView, Told } from './protocol';

/** The service: all that is fetched from the server goes through it. */
export const IRunService = new Token<IRunService>(
  'aml-jupyter:IRunService',
  'Asks the Jupyter server about runs, and hears from it what changes.'
);

/** The sections of the sidebar: an extension may add its own. */
export const IPanelSections = new Token<IPanelSections>(
  'aml-jupyter:IPanelSections',
  'Adds sections to the sidebar of runs.'
);

/** Asks the server, and hears what changes. */
export interface IRunService {
  /** The server's half, once it has answered; rejected with a `ServerError` that says what to do. */
  readonly hello: Promise<Hello>;

  /** What keeps the server from telling what changes until the user mends it: another version, no permission. */
  readonly problem: ServerError | null;
  readonly problemFound: ISignal<IRunService, ServerError>;

  /** The workspaces that there are, the one of the server's root first. */
  readonly places: readonly Place[];

  /** Workspaces have come or gone, or the other one is looked at. */
  readonly placesChanged: ISignal<IRunService, void>;

  /** The workspace that is looked at; undefined where there is none. */
  readonly place: Place | undefined;

  /** Look at another workspace. */
  choosePlace(key: string): void;

  /** Ask again which workspaces there are, and whether the server's half is there. */
  lookAgain(): Promise<Hello>;

  /** An answer of the REST interface: `path` below `aml/api/`, its parts encoded by `pathOf`. */
  get<Answer>(path: string, query?: Query, signal?: AbortSignal): Promise<Answer>;

  /** Ask for something to be done. */
  post<Answer>(path: string, body?: object, query?: Query): Promise<Answer>;

  /**
   * The address of a file of a run, for `src`, `href` and ranges; `path` is below the run's folder.
   * It holds no token: a file of a run may be a page whose scripts read their own address.
   */
  fileUrl(place: string, run: string, path: string, download?: boolean): string;

  /** What changes. */
  readonly live: ILive;
}

/** A path below `aml/api/`, such as `run/{place}/{run}`; a `/` in a part is no separator. */
export function pathOf(...parts: readonly string[]): string {
  return parts.map(encodeURIComponent).join('/');
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** What went wrong, in the server's words. */
export class ServerError extends Error {
  constructor(
    readonly problem: Problem,
    /** The HTTP status; 0 where no server answered. */
    readonly status: number
  ) {
    super(problem.message);
  }
}

/** The one websocket of a page; it is open only while somebody listens. */
export interface ILive {
  /** Whether it is connected; `false` while it tries again. */
  readonly connected: boolean;
  readonly connectedChanged: ISignal<ILive, boolean>;

  /**
   * Hear of the runs of a workspace until disposed; `rows` costs more than `counts`.
   * What has changed since a list was asked for is told, however late it is watched.
   */
  watch(place: string, level: 'rows' | 'counts', listener: PlaceListener): IDisposable;

  /** Follow runs as the live view does; survives reconnecting. */
  open(place: string, runs: readonly string[], listener: ViewListener): IServerView;
}

export interface PlaceListener {
  counts?(counts: Counts): void;
  /** Rows that are new or other, and ids of runs that are gone. */
  changed?(rows: readonly RunRow[], gone: readonly string[], seq: number): void;
  /** Too much has changed to be told: lists are to be asked for anew. */
  behind?(): void;
  /** Runs that have just ended. */
  ended?(rows: readonly RunRow[]): void;
}

export interface ViewListener {
  state<Name extends keyof RunView>(name: Name, value: RunView[Name]): void;
  told(told: Told, buffers: readonly DataView[]): void;
  /** The connection was lost and is there again: the state comes anew, answers may have been lost. */
  reopened?(): void;
  /** It cannot be shown, or no more. */
  failed(problem: Problem): void;
}

/** Runs that the server follows for a view. */
export interface IServerView extends IDisposable {
  set<Name extends keyof RunView>(name: Name, value: RunView[Name]): void;
  ask(asked: Asked): void;
}

export interface IPanelSections {
  readonly sections: readonly IPanelSection[];
  readonly changed: ISignal<IPanelSections, void>;
  add(section: IPanelSection): IDisposable;
}

/** A section of the sidebar. */
export interface IPanelSection {
  readonly id: string;
  /** As shown, translated. */
  readonly title: string;
  /** Sections with a lower rank stand further up; runs have 0. */
  readonly rank: number;
  /** Make its content; `shown` is emitted with whether the panel is on screen and the section open. */
  create(host: ISectionHost): Widget;
}

export interface ISectionHost {
  /** Whether anything in the section can be seen now; while it cannot, nothing is fetched. */
  readonly isShown: boolean;
  readonly shownChanged: ISignal<ISectionHost, boolean>;
  /** The user wants everything that is shown to be asked for anew. */
  readonly refreshAsked: ISignal<ISectionHost, void>;
  /** A short text beside the title, such as a count; may be empty. */
  setNote(text: string): void;
}

/** Commands, by what they do; all take `RunArguments`, or `{place, runs}` for several, unless said otherwise. */
export const Commands = {
  /** Open the page of a run. */
  open: 'aml:open-run',
  /** Compare runs: `{place, runs}`. */
  compare: 'aml:compare-runs',
  /** Insert a cell that attaches to the run into the notebook in front, and run it. */
  attach: 'aml:attach-run',
  /** Insert a cell that compares runs into the notebook used last, and run it: `{place, runs}`. */
  insert: 'aml:insert-comparison',
  cancel: 'aml:cancel-run',
  rerun: 'aml:rerun-run',
  /** Run it again after changing options in a form. */
  rerunWith: 'aml:rerun-run-with-changes',
  copyId: 'aml:copy-run-id',
  openFolder: 'aml:open-run-folder',
  revealCell: 'aml:reveal-run-cell',
  archive: 'aml:archive-run',
  restore: 'aml:restore-run',
  delete: 'aml:delete-run',
  /** Show the sidebar. */
  showPanel: 'aml:show-panel',
  /** Submit a file by a form: `{path}`. */
  submit: 'aml:submit',
  runCell: 'aml:run-cell-as-run',
  runNotebook: 'aml:run-notebook-as-batch'
} as const;

/** What commands about a run take. */
export interface RunArguments {
  readonly place: string;
  readonly run: string;
}
