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
