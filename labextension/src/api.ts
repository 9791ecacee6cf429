// Generated from aml_jupyter/server/api.json by scripts/generate_types.py; edit the schemas instead.

import type { Asked, Progress, Told } from './protocol';

/** The version of the schema that this page speaks. */
export const API = 1;

/** The body of an answer that is no success. */
export interface Problem {
  /** What happened, and to what. */
  message: string;
  /** What to do next; may be empty. */
  hint: string;
}

/** Who answers. */
export interface Hello {
  version: string;
  /** The version of this schema that the server speaks. */
  api: number;
  /** Whether actions are refused. */
  read_only: boolean;
  places: Place[];
}

/** A workspace that the server shows. */
export interface Place {
  /** Its name in addresses. */
  key: string;
  name: string;
  /** Its project folder below the server's root; empty for the root, or a folder that the root lies in. */
  project: string;
  /** Why it cannot be opened, if it cannot. */
  problem?: Problem;
}

/** A run as one row of a list. */
export interface RunRow {
  id: string;
  name: string;
  number: number;
  experiment: string;
  /** A v1 state, such as Running or Completed. */
  status: string;
  target: string;
  /** The notebook that it was submitted from. */
  notebook: string | null;
  parent: string | null;
  /** Whether it is a batch of notebooks. */
  batch: boolean;
  /** Seconds since the epoch, as all times. */
  created: number;
  started: number | null;
  ended: number | null;
  archived: boolean;
  tags: Readonly<Record<string, string | null>>;
  /** The last value of each; null where it is not finite. */
  metrics: Readonly<Record<string, number | null>>;
  progress: Progress | null;
}

/** A stretch of a list of runs. */
export interface RunList {
  /** Which changes are in it; those above come by the websocket. */
  seq: number;
  /** The server's clock. */
  now: number;
  /** Runs that match. */
  total: number;
  offset: number;
  rows: RunRow[];
  /** Why the filter cannot be understood, if it is `typed`: there is nothing else in the answer then. Without `typed` that is an error. */
  problem?: Problem;
}

/** Groups of runs, the one with the newest run first. */
export interface GroupList {
  seq: number;
  /** Runs that match. */
  total: number;
  groups: Group[];
  /** Why the filter cannot be understood, if it is `typed`: there is nothing else in the answer then. */
  problem?: Problem;
}

/** The runs of one experiment, notebook or sweep. */
export interface Group {
  key: string;
  name: string;
  total: number;
  live: number;
  failed: number;
  newest: number;
}

/** What a filter line can be completed with. */
export interface FilterWords {
  states: string[];
  experiments: string[];
  notebooks: string[];
  targets: string[];
  tags: string[];
  metrics: string[];
}

/** A run, and where it came from. */
export interface RunDetail {
  row: RunRow;
  /** Its folder below the server's root; null outside of it. */
  folder: string | null;
  /** Its folder on the server's disk. */
  where: string;
  cell: CellPlace | null;
  /** The script or notebook below the server's root. */
  script: string | null;
  /** Why it failed; empty if it did not. */
  error: string;
}

/** The cell that a run was made from. */
export interface CellPlace {
  /** Below the server's root. */
  notebook: string;
  /** The cell's id; empty where it is not known. */
  cell: string;
  /** Its text as it was run. */
  text: string;
}

/** What an action needs. */
export interface ActionAsked {
  name?: string;
  value?: string | null;
}

/** What came of an action. */
export interface ActionDone {
  /** For the reader. */
  said: string;
  /** The id of the run that was made. */
  run: string | null;
}

/** Which runs to compare: up to 500. */
export interface CompareAsked {
  runs: string[];
  /** Whether to read the least and greatest value of each metric, which takes the longest. */
  ranges?: boolean;
}

/** Runs beside each other; every list of values has one for each of `runs`, in their order. */
export interface Comparison {
  /** The server's clock. */
  now: number;
  runs: ComparedRun[];
  gone: GoneRun[];
  sections: ComparedSection[];
  metrics: ComparedMetric[];
  /** Metrics that are not listed. */
  more_metrics: number;
}

/** A run that is compared. */
export interface ComparedRun {
  id: string;
  name: string;
  number: number;
  experiment: string;
  /** A v1 state, such as Running or Completed. */
  status: string;
  created: number;
  started: number | null;
  ended: number | null;
}

/** A run that is not there, or cannot be read. */
export interface GoneRun {
  id: string;
  why: string;
}

/** What the runs were started with, rows that differ first. */
export interface ComparedSection {
  kind: "facts" | "parameters" | "tags";
  rows: ComparedRow[];
  /** Rows that are not listed. */
  more: number;
}

/** One thing of each run. */
export interface ComparedRow {
  name: string;
  /** Whether it is not the same in all runs; where it is, it is listed once. */
  differs: boolean;
  values: (string | null)[];
}

/** One metric of each run. Least and greatest are null where they were not asked for, and of very long runs. */
export interface ComparedMetric {
  name: string;
  /** What is better by its name, if that tells. */
  better: "min" | "max" | null;
  last: (number | string | null)[];
  min: (number | null)[];
  max: (number | null)[];
}

/** The files that a run was started from. */
export interface SourceTree {
  /** The file that is run; empty where it is none of them. */
  script: string;
  files: SourceFile[];
  /** Files that are not listed. */
  more: number;
  /** Runs to compare the source with, the one that tells most first. */
  relatives: Relative[];
}

/** A file of the source of a run. */
export interface SourceFile {
  path: string;
  size: number;
}

/** A run that another one can be compared with. origin: it is a new run of that one. parent: it is a child of it. before: that one came before it in its experiment. */
export interface Relative {
  id: string;
  name: string;
  kin: "origin" | "parent" | "before";
}

/** A file of the source of a run as text. */
export interface SourceText {
  path: string;
  text: string;
  size: number;
  /** Why there is no text, or not all of it; may be empty. */
  note: string;
}

/** How the source of a run differs from that of another. */
export interface SourceDiff {
  files: FileDiff[];
  /** Files that differ and are not listed. */
  more: number;
  /** How the environments differ, as a unified diff. */
  environment: string;
}

/** How a file differs. */
export interface FileDiff {
  path: string;
  change: "added" | "removed" | "changed";
  /** A unified diff. */
  text: string;
  /** Why there is no text; may be empty. */
  note: string;
}

/** What a file can be submitted with, or a run be repeated with: the options of the magics. */
export interface Form {
  title: string;
  kind: "script" | "notebook" | "configuration" | "rerun";
  /** The workspace that the run will be in; null where there is none yet. */
  place: string | null;
  fields: FormField[];
}

/** One option. Values are texts, written as on a command line; a switch that is on has the value on. */
export interface FormField {
  name: string;
  label: string;
  help: string;
  /** A list has any number of values. */
  kind: "text" | "switch" | "list";
  /** What to write, such as KEY=VALUE. */
  wants: string;
  /** What holds if nothing is said; may be empty. */
  usual: string;
  /** Values that there are; others may do as well. */
  choices: string[];
  /** What it begins with. */
  values: string[];
  group: "parameters" | "run" | "resources" | "batch" | "more";
}

/** A form as it is filled in, of a file (path) or of a run (place, run). check: say what cannot be meant. plan: say what would be done. submit: do it. */
export interface FormSent {
  do: "check" | "plan" | "submit";
  /** The file, below the server's root. */
  path?: string;
  place?: string;
  run?: string;
  /** Whether it shall be a batch, however many sets of parameters there are. */
  batch?: boolean;
  values: Readonly<Record<string, string[]>>;
}

/** What came of a form; nothing was done if there are problems. */
export interface FormAnswer {
  problems: FormProblem[];
  /** What would be done; empty if that was not asked. */
  plan: string;
  /** For the reader; may be empty. */
  said: string;
  place: string | null;
  /** The id of the run that was made. */
  run: string | null;
}

/** What is wrong with a form. */
export interface FormProblem {
  /** The name of the field; empty if it is about all. */
  field: string;
  message: string;
  hint: string;
}

/** A message from the page. watch: tell of changes in a place from `since` on, of rows or of counts only. unwatch: no more. open: follow runs as a view, whose own name the page chooses. set: a part of the view's shared state. ask: a question to the view. close: the view is gone. */
export interface LiveAsked {
  kind: "watch" | "unwatch" | "open" | "set" | "ask" | "close";
  place?: string;
  since?: number | null;
  level?: "rows" | "counts";
  view?: string;
  runs?: string[];
  /** Of open: the parts of the shared state that the page has set before, such as when it connects again; they need not be set once more. */
  state?: Readonly<Record<string, unknown>>;
  name?: string;
  value?: unknown;
  asked?: Asked;
}

/** A message from the server. counts: how many runs are in which state. changed: rows that are new or other, and ids of runs that are gone. behind: too much has changed, ask for lists anew. ended: runs that have just ended, also for who hears of counts only. places: workspaces have come or gone, these are all. state: a part of a view's shared state. told: an answer to a view; its bytes, if any, come in the same binary message. failed: a view could not be opened. */
export interface LiveTold {
  kind: "counts" | "changed" | "behind" | "ended" | "places" | "state" | "told" | "failed";
  place?: string;
  seq?: number;
  counts?: Counts;
  rows?: RunRow[];
  gone?: string[];
  places?: Place[];
  view?: string;
  name?: string;
  value?: unknown;
  told?: Told;
  problem?: Problem;
}

/** Runs of a place by state. */
export interface Counts {
  running: number;
  /** Submitted, and not running yet. */
  waiting: number;
  /** Ended as Failed during the last 24 hours. */
  failed: number;
  /** All, without archived ones. */
  total: number;
}

/** Batches of notebooks: those that go on first, then the newest. */
export interface BatchList {
  batches: BatchRow[];
  /** How many are not listed. */
  more: number;
}

/** A batch of notebooks, and how far it is. */
export interface BatchRow {
  id: string;
  name: string;
  notebook: string;
  /** A v1 state. */
  status: string;
  created: number;
  /** How many there are to be executed. */
  notebooks: number;
  /** Runs of it that have ended. */
  ended: number;
  /** Runs of it that go on or wait. */
  running: number;
  /** Runs of it that failed. */
  failed: number;
}

/** The latest version of each registered model, the newest first. */
export interface ModelList {
  models: ModelRow[];
  /** How many are not listed. */
  more: number;
}

/** A registered model. */
export interface ModelRow {
  name: string;
  version: number;
  /** How many versions there are. */
  versions: number;
  created: number;
  /** In bytes, of all files. */
  size: number;
  /** The id of the run that it came from. */
  run: string | null;
  framework: string | null;
  description: string;
  tags: Readonly<Record<string, string | null>>;
}

/** The version of a model that shall be deleted. */
export interface ModelAsked {
  name: string;
  version: number;
}

/** Where runs can go, and this machine's queue. */
export interface TargetList {
  targets: Target[];
  gpus: Gpu[];
  /** Why nothing is known of GPUs; empty if all is well. */
  trouble: string;
  /** Runs that have not ended, of all workspaces: those that run, then those that wait, in their order; the first hundred. */
  queue: Queued[];
  /** How many there are of them. */
  queued: number;
}

/** A compute target. */
export interface Target {
  name: string;
  kind: string;
  description: string;
  /** How many runs it takes at once; null where only the machine bounds it. */
  slots: number | null;
  /** -1 for all of the machine. */
  gpus: number | null;
  remarks: string;
  usable: boolean;
  running: number;
  waiting: number;
}

/** A GPU of this machine. */
export interface Gpu {
  index: number;
  /** Bytes; 0 where it is not known. */
  memory: number;
  /** Percent. */
  load: number | null;
  /** Ids of runs that have it. */
  holders: string[];
  /** Who else uses it. */
  others: string;
}

/** A run that has not ended. */
export interface Queued {
  id: string;
  /** Whether it is of the workspace that was asked about. */
  here: boolean;
  target: string;
  status: string;
  since: number;
  /** Its place in the queue; null once it had its turn. */
  position: number | null;
  expected: number | null;
  asks: string;
  why: string;
}

/** Environments that have a name, and what is built. */
export interface EnvironmentList {
  environments: EnvironmentRow[];
}

/** An environment. */
export interface EnvironmentRow {
  name: string;
  version: string;
  source: string;
  state: string;
  /** Bytes of all that is built of it. */
  size: number;
  used: number | null;
  error: string;
  builds: Build[];
}

/** What is built of an environment, for a process or a container. */
export interface Build {
  key: string;
  kind: string;
  state: string;
  size: number;
  /** How long it was built. */
  seconds: number | null;
  error: string;
}

/** The end of what a build has said. */
export interface BuildLog {
  key: string;
  text: string;
}

/** What was not used for so many days. */
export interface Prunable {
  days: number;
  builds: PrunableBuild[];
}

/** Something built that may be removed. */
export interface PrunableBuild {
  key: string;
  name: string;
  kind: string;
  size: number;
  used: number;
  /** Why it stays after all. */
  kept: string;
}

/** What is to be removed. */
export interface PruneAsked {
  keys: string[];
}

/** What came of it. */
export interface Pruned {
  removed: number;
  /** Bytes. */
  freed: number;
  kept: PrunableBuild[];
}
