// Generated from labextension/wire by scripts/generate_types.py; edit the schemas instead.

/** What a notebook output of type application/vnd.aml.run+json holds: one run as it stood when the output was written. */
export interface RunCard {
  /** Raised when an older reader could no longer draw the card. */
  version: 1;
  id: string;
  display_name: string;
  experiment: string;
  /** A v1 state, such as Running or Completed. */
  status: string;
  target: string;
  /** Seconds since the epoch. */
  started: number | null;
  /** Seconds since the epoch; null while the run goes on. */
  ended: number | null;
  metrics: MetricSeries[];
  /** The last lines of the driver log, without colour codes. */
  log_tail: string;
  error: RunError | null;
  notebooks?: CardTable;
}

/** The notebooks of a batch, or some of them. */
export interface CardTable {
  /** How many there are in which state. */
  title: string;
  columns: string[];
  rows: CardRow[];
  /** How many are not listed. */
  more: number;
}

/** A notebook of a batch. */
export interface CardRow {
  /** A v1 state, for the colour. */
  status: string;
  cells: string[];
}

/** One scalar metric, decimated to what a chart can show. */
export interface MetricSeries {
  name: string;
  /** Steps, ascending. */
  x: number[];
  /** Values beside x; null where the value was not finite. */
  y: (number | null)[];
  last: number | null;
  /** How many points were logged before decimation. */
  count: number;
}

/** Why a run failed. */
export interface RunError {
  message: string;
}

/** A message from the browser; `kind` says what it wants, the members what it needs for that. */
export interface Asked {
  /** ready: send the log anew. log: follow another file. open, against: show another run, or compare with it. back: to the run before. resume: go on with what a batch has not done. plots: these charts are on screen, of a page that draws them itself; send their lines now and whenever they change. */
  kind: "ready" | "log" | "page" | "find" | "files" | "bytes" | "facts" | "tag" | "children" | "system" | "compare" | "candidates" | "cancel" | "rerun" | "resume" | "folder" | "open" | "back" | "against" | "plots" | "failure";
  file?: string;
  /** What to search for; with page, `before` for lines that end at `at`, `after` for those that begin there. */
  text?: string;
  /** A byte offset. */
  at?: number;
  path?: string;
  from?: number;
  count?: number;
  token?: string;
  /** The id of a run; with bytes, whose file it is if not of the run that leads. */
  run?: string;
  name?: string;
  /** null removes the tag. */
  value?: string | null;
  plots?: PlotAsked[];
}

/** A chart that is on screen. */
export interface PlotAsked {
  /** The `model` of its figure. */
  key: string;
  /** How many pixel columns it has. */
  columns: number;
  /** The range that is looked at, in what is logged less the run's start where `axis` is time; null for all there is. */
  low: number | null;
  high: number | null;
}

/** A message from the kernel; `kind` says which member is there. */
export interface Told {
  kind: "log" | "page" | "matches" | "files" | "bytes" | "system" | "facts" | "children" | "compare" | "candidates" | "said" | "plot" | "pictures" | "failure";
  log?: LogPiece;
  page?: LogPage;
  matches?: LogMatches;
  files?: RunFiles;
  bytes?: FileBytes;
  system?: SystemSeries[];
  facts?: RunFacts;
  children?: ChildTable;
  /** HTML, escaped by the kernel: what differs between the runs. */
  compare?: string;
  candidates?: Candidate[];
  /** An answer for the reader, such as why something could not be done. */
  said?: string;
  /** Whether `said` tells of something that went wrong. */
  bad?: boolean;
  plot?: PlotData;
  /** What was logged that is no number, on a page that draws charts itself; all there is, in order. */
  pictures?: Picture[];
  failure?: RunFailure;
}

/** The lines of one chart. The buffer has for each line in turn, as 64-bit floats: x and y of its points, x and y of its means, x and kinds of its gaps. */
export interface PlotData {
  key: string;
  axis: "step" | "time" | "clock";
  /** The range asked for; null for all there is. */
  low: number | null;
  high: number | null;
  lines: PlotLine[];
}

/** One line of a chart. */
export interface PlotLine {
  label: string;
  /** The id of its run. */
  run: string;
  metric: string;
  colour: string;
  /** solid, dashed, dotted or dash_dotted. */
  dash: string;
  /** How many points were logged. */
  count: number;
  /** The value logged last; null if it is not finite. */
  last: number | null;
  /** How many points are in the buffer: of each column the lowest and the highest, with NaN between two that must not be joined. Of a range there is as much again beside it, half on each side; if `exact` there may be all of the line. */
  points: number;
  /** How many means: one for each column that has points. */
  means: number;
  /** How many places where NaN (0), infinity (1) or minus infinity (-1) was logged. */
  gaps: number;
  /** Whether every point that was logged there is in the buffer. */
  exact: boolean;
}

/** A table, an image or the like. */
export interface Picture {
  /** The id of the run that logged it. */
  run: string;
  /** What it was logged as; with `run` it tells which picture it is. */
  name: string;
  /** HTML, escaped by the server; null if it is as it was told before. */
  html: string | null;
}

/** Why a run failed, and what to do about it. */
export interface RunFailure {
  /** The name of the exception; empty where there was none. */
  kind: string;
  /** What went wrong, in the words of the program or of who ran it. */
  message: string;
  place: FailurePlace | null;
  /** The traceback, without colour codes; may be empty. */
  trace: string;
  /** The log that `log` is the end of. */
  file: string;
  log: string[];
  hints: FailureHint[];
}

/** The line of the run's own code that an error came from. */
export interface FailurePlace {
  /** The file as the traceback names it, or its place in the source. */
  path: string;
  line: number;
  /** Whether the file is the cell that the run was made from. */
  cell: boolean;
  /** The cell of an executed notebook, counted from 1; 0 where it is none. */
  number: number;
  /** The number of the first of `lines`. */
  first: number;
  /** The lines around it, as they were run; empty where they are not known. */
  lines: string[];
}

/** Something to try. */
export interface FailureHint {
  /** What may be the matter, and what to do. */
  text: string;
  /** What to write or to run, to be copied; may be empty. */
  code: string;
}

/** The state that the live view of one or more runs shares with its kernel: what a browser that comes late, or comes again, must know. */
export interface RunView {
  /** The runs shown, the first one leads; several are compared. */
  runs: RunHead[];
  /** Which tabs there are: error, overview, log, system, files, facts, children, compare. */
  tabs: string[];
  /** The tab that is open; set by the browser. */
  tab: string;
  /** Whether any view of it is on screen; set by the browser. */
  shown: boolean;
  /** Counts up every 20 seconds while shown, so that a kernel notices when the last browser has gone; set by the browser. */
  beat: number;
  /** Whether the output is drawn by our JupyterLab extension, which takes new static forms without drawing anew; set by the browser. */
  hosted: boolean;
  /** How charts are drawn; set by the browser. */
  options: ChartOptions;
  /** What is drawn of all there is. */
  charts: ChartSummary;
  /** The end of the log, until a browser has said that it is ready and takes pieces as messages. */
  log: LogPiece;
  /** The ids of the runs that the reader came from, the last one last. */
  backs: string[];
}

/** One run in the head of the view. */
export interface RunHead {
  id: string;
  name: string;
  experiment: string;
  /** A v1 state, such as Running or Completed. */
  status: string;
  target: string;
  environment: string;
  /** The colour of its lines in charts. */
  colour: string;
  /** Seconds since the epoch. */
  started: number | null;
  ended: number | null;
  /** The kernel's clock when this was written, so that elapsed time ticks right in a browser whose clock is wrong. */
  now: number;
  stages: Stage[];
  progress: Progress | null;
  /** Why it failed, in words; empty if it did not. */
  error: string;
  /** The folder that the job runs in. */
  work: string;
  /** The folder that the job's files were copied from; empty when there was none. */
  source: string;
  /** Something to tell the reader beside the state, such as a warning; may be empty. */
  note: string;
  /** Whether it is a batch, whose children are executed notebooks. */
  batch: boolean;
  /** Where the executed notebook is in the folder of the run, as far as it has come; empty if the run is no notebook, or has not begun. */
  notebook: string;
}

/** A stretch of the time line. */
export interface Stage {
  state: string;
  since: number;
  until: number | null;
}

/** How far the run is, as it says itself: by its runner, or by the progress bar that it prints. */
export interface Progress {
  text: string;
  /** From 0 to 1. */
  done: number | null;
  /** Seconds until it is done. */
  left: number | null;
}

/** How charts are drawn. */
export interface ChartOptions {
  /** Words that a metric's name must hold. */
  filter: string;
  axis: "step" | "time" | "clock";
  log_x: boolean;
  log_y: boolean;
  /** 0 draws what was logged; towards 1 the line is ever smoother. */
  smoothing: number;
  /** One chart for each metric, for each first part of a name, or for all that match. */
  grouping: "each" | "prefix" | "one";
  /** How many charts to draw at most. */
  most: number;
  /** Whether a reader has zoomed into a chart; set false by the browser to show everything again. */
  zoomed: boolean;
}

/** What is drawn of all the metrics there are. */
export interface ChartSummary {
  /** All metrics. */
  metrics: number;
  /** Those that the filter lets through. */
  matching: number;
  /** Charts that this makes. */
  charts: number;
  /** Charts that are drawn. */
  drawn: number;
  /** From 0 to 1: how much of the metric files has been read. */
  reading: number;
  /** The charts in order, so that hovering, zooming and panning need no kernel. */
  figures: ChartFigure[];
}

/** One chart. */
export interface ChartFigure {
  /** The id of the widget model that draws it; on a page that draws it itself, the key to ask for its lines. */
  model: string;
  title: string;
}

/** New lines of a log. */
export interface LogPiece {
  file: string;
  /** All logs of the run, the one to begin with first. */
  files: string[];
  /** The number of the first line here; lines of that number and above are replaced by these. */
  first: number;
  /** Whether to forget all lines before `first`. */
  reset: boolean;
  /** Text with its colour codes; a progress bar is in its last state. */
  lines: string[];
  /** How many bytes of the file come before the first line that is kept. */
  cut: number;
  /** How many bytes were passed over just before these lines, because the job wrote faster than a browser reads. */
  passed: number;
  /** Bytes of the file so far. */
  size: number;
  /** Whether nothing more will come. */
  ended: boolean;
}

/** A stretch from the middle of a log. */
export interface LogPage {
  file: string;
  from: number;
  to: number;
  size: number;
  lines: string[];
}

/** Where a text occurs in a whole log. */
export interface LogMatches {
  file: string;
  text: string;
  matches: LogMatch[];
  more: boolean;
  /** Bytes looked through. */
  searched: number;
}

/** A line of a log that holds the text searched for. */
export interface LogMatch {
  /** Byte offset of the line. */
  at: number;
  line: string;
}

/** A file that the run left. */
export interface RunFile {
  /** Relative to the run's folder. */
  path: string;
  size: number;
  modified: number;
}

/** The files of the run. */
export interface RunFiles {
  /** The run's folder on the kernel's machine. */
  folder: string;
  files: RunFile[];
  /** Files that are not listed. */
  more: number;
}

/** A part of a file, whose bytes come as the buffer of the message. */
export interface FileBytes {
  path: string;
  from: number;
  /** Of the whole file. */
  size: number;
  /** Repeats that of the question. */
  token: string;
  /** When it was written last, in seconds since the epoch. */
  modified: number;
  /** Whether its run has ended, so that nothing more will come. */
  ended: boolean;
}

/** One measurement of the machine or of the job's processes. */
export interface SystemSeries {
  name: string;
  /** %, B, B/s or empty. */
  unit: string;
  /** Which series share a chart. */
  group: string;
  /** Seconds since the run started. */
  x: number[];
  y: (number | null)[];
  /** What the reader must know, such as that it counts the whole machine. */
  note: string;
}

/** What else there is to know about a run; every section is a list of names and values. */
export interface RunFacts {
  sections: FactSection[];
  tags: Fact[];
  /** Longer texts: diff, environment, source files. */
  texts: FactText[];
}

/** Facts under one heading. */
export interface FactSection {
  title: string;
  facts: Fact[];
}

/** A name and its value. */
export interface Fact {
  name: string;
  value: string;
}

/** A text under a heading that can be opened. */
export interface FactText {
  title: string;
  text: string;
  /** How to colour it. */
  kind: "diff" | "text";
}

/** The children of a run. */
export interface ChildTable {
  /** What the rows are. */
  of: "runs" | "notebooks";
  /** Parameters first, then metrics. */
  columns: ChildColumn[];
  rows: ChildRow[];
  /** Children that are not listed. */
  more: number;
  /** Parallel coordinates as SVG, escaped by the kernel; may be empty. */
  picture: string;
  /** Whether only those rows are here that have changed since the last table; the others, and their order, stay. */
  partial: boolean;
}

/** A column of the table of children. */
export interface ChildColumn {
  name: string;
  kind: "parameter" | "metric";
}

/** A child. */
export interface ChildRow {
  /** Stays the same in every table. */
  key: string;
  /** The run; empty where there is none yet. */
  id: string;
  name: string;
  status: string;
  started: number | null;
  seconds: number | null;
  /** As shown. */
  cells: string[];
  /** To sort by; null where a cell is no number. */
  numbers: (number | null)[];
  progress: Progress | null;
  /** Why it failed; empty if it did not, or where rows are runs. */
  error: string;
  /** What else is to be known of it; may be empty. */
  note: string;
  /** Where the executed notebook is in the folder of its run; empty if there is none. */
  notebook: string;
}

/** A run to compare with. */
export interface Candidate {
  id: string;
  name: string;
  status: string;
  started: number | null;
}
