import { number } from '../format';
import { around, type Range } from '../view/chart_model';
import { ticksAlong, ticksUp, type Tick } from '../view/chart_ticks';

/** One thing of each run, such as a parameter or the last value of a metric; null where a run has none. */
export interface RunColumn {
  readonly name: string;
  readonly kind: string;
  readonly values: readonly (number | string | null)[];
}

/** Runs, and what is known of them; every list has one for each run. */
export interface RunTable {
  readonly columns: readonly RunColumn[];
  readonly labels: readonly string[];
  readonly ids: readonly string[];
  readonly colours: readonly string[];
}

/** What becomes of runs that a reader points at, chooses or opens. */
export interface RunListener {
  /** A pointer is over a run, or over none. */
  pointed?(id: string | null): void;
  /** Only these are of interest, or all. */
  chosen?(ids: readonly string[] | null): void;
  opened?(id: string): void;
}

const SPACE = 0.04;
/** Numbers that are so many times apart are told apart better by their logarithms. */
const WIDE = 200;
// From low to high: lighter and warmer, also for those who see few colours, on light and on dark.
const RAMP = ['#4a63d3', '#a0509f', '#dd6a4f', '#eeb33b'];

/** A column as an axis: where each run stands on it. */
export class RunAxis {
  readonly isNumeric: boolean;
  readonly isLog: boolean;
  /** What can be seen, in the units of the places. */
  readonly range: Range;
  /** Where runs stand; NaN for those that have nothing. */
  readonly places: Float64Array;
  private readonly words: readonly string[];

  constructor(
    readonly column: RunColumn,
    isLog?: boolean
  ) {
    const { values } = column;
    this.isNumeric = values.every(value => value === null || typeof value === 'number');
    const numbers = this.isNumeric ? (values as (number | null)[]).filter(isSound) : [];
    const [low, high] = ends(numbers);
    this.isLog = this.isNumeric && low > 0 && (isLog ?? high / low >= WIDE);
    this.words = this.isNumeric ? [] : distinct(values);
    this.places = Float64Array.from(values, value => this.place(value));
    const last = this.words.length - 1;
    const [from, to] = this.isNumeric ? ends(this.places) : [0, last];
    this.range = this.isNumeric || last < 1 ? around(from, to, SPACE) : [from - 0.3, to + 0.3];
  }

  /** How far along the axis a run is, from 0 to 1. */
  part(run: number): number {
    return (this.places[run]! - this.range[0]) / (this.range[1] - this.range[0]);
  }

  /** What a run has, in words. */
  text(run: number): string {
    const value = this.column.values[run] ?? null;
    return typeof value === 'string' ? value : number(value, 6);
  }

  /** What is written along it where it lies, or beside it where it stands. */
  ticks(pixels: number, isUpright: boolean): Tick[] {
    if (this.isNumeric) {
      return isUpright
        ? ticksUp(...this.range, pixels, this.isLog)
        : ticksAlong(...this.range, pixels, 'number', this.isLog);
    }
    const every = Math.ceil((this.words.length * (isUpright ? 16 : 70)) / Math.max(pixels, 1));
    const ticks = this.words.map((word, at) => ({ at, label: short(word, isUpright ? 18 : 10) }));
    return ticks.filter((_, nth) => nth % every === 0);
  }

  /** A colour that says where a run stands. */
  colour(run: number): string {
    const part = this.part(run);
    return Number.isNaN(part) ? '#808080' : rampAt(part);
  }

  private place(value: number | string | null): number {
    if (value === null) {
      return NaN;
    }
    if (!this.isNumeric) {
      return this.words.indexOf(String(value));
    }
    const exact = this.isLog ? Math.log10(Number(value)) : Number(value);
    return Number.isFinite(exact) ? exact : NaN;
  }
}

/** A colour of the scale from low to high. */
export function rampAt(part: number): string {
  const at = Math.min(Math.max(part, 0), 1) * (RAMP.length - 1);
  const nth = Math.min(Math.floor(at), RAMP.length - 2);
  const mixed = [1, 3, 5].map(from => {
    const [one, other] = [RAMP[nth]!, RAMP[nth + 1]!].map(colour =>
      parseInt(colour.slice(from, from + 2), 16)
    );
    return Math.round(one! + (other! - one!) * (at - nth));
  });
  return `rgb(${mixed.join()})`;
}

/** Whether the runs differ in it. */
export function varies({ values }: RunColumn): boolean {
  return values.some(value => value !== values[0]);
}

/** A text that is cut where it is too long. */
export function short(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function ends(numbers: ArrayLike<number>): Range {
  let [low, high] = [Infinity, -Infinity];
  for (let nth = 0; nth < numbers.length; nth++) {
    // What is no number is neither.
    low = numbers[nth]! < low ? numbers[nth]! : low;
    high = numbers[nth]! > high ? numbers[nth]! : high;
  }
  return [low, high];
}

function isSound(value: number | null): value is number {
  return value !== null && Number.isFinite(value);
}

/** Words in an order that a reader expects: numbers by size, before the rest. */
function distinct(values: readonly (number | string | null)[]): string[] {
  const words = new Set(values.filter(value => value !== null).map(String));
  const order = new Intl.Collator(undefined, { numeric: true });
  return [...words].sort((one, other) => order.compare(one, other));
}
