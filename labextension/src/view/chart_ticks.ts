/** A place on an axis, in the units of its scale, and what is written there. */
export interface Tick {
  at: number;
  label: string;
}

/** What the numbers of an axis mean. */
export type Unit = 'number' | 'time' | 'clock';

const SECONDS = [1, 2, 5, 10, 15, 30];
const LETTER = 6.2;
const ROOM = 12;
const DAY = 86400;
const MAGNITUDES = [0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 360000, 3600000];
const STEPS = [
  ...SECONDS,
  ...SECONDS.map(step => step * 60),
  ...[1, 2, 3, 6, 12].map(hours => hours * 3600)
];

/** Round numbers, times or powers along an axis that is so many pixels long. */
export function ticksAlong(
  low: number,
  high: number,
  pixels: number,
  unit: Unit,
  log: boolean
): Tick[] {
  let about = Math.max(2, Math.floor(pixels / 55));
  let ticks = some(low, high, about, unit, log);
  while (about > 2 && widest(ticks) * ticks.length > pixels + ROOM) {
    about -= 1;
    ticks = some(low, high, about, unit, log);
  }
  return ticks;
}

/** About so many of them up an axis, whose labels are above one another. */
export function ticksUp(low: number, high: number, pixels: number, log: boolean): Tick[] {
  return some(low, high, Math.max(2, Math.floor(pixels / 34)), 'number', log);
}

/** A value as long as it must be to be told from its like. */
export function shownValue(value: number): string {
  return tidy(Number(value.toPrecision(6)));
}

/** A value with all the digits that a 32-bit number has. */
export function exactValue(value: number): string {
  return tidy(Number(value.toPrecision(9)));
}

/** A place on the x axis, in full. */
export function shownPlace(value: number, unit: Unit): string {
  if (unit === 'clock') {
    return new Date(value * 1000).toLocaleString(undefined, {
      dateStyle: 'short',
      timeStyle: 'medium'
    });
  }
  return unit === 'time' ? elapsed(value, Math.abs(value) < 10 ? 0.01 : 1) : shownValue(value);
}

function widest(ticks: readonly Tick[]): number {
  return Math.max(0, ...ticks.map(tick => tick.label.length)) * LETTER + ROOM;
}

function some(low: number, high: number, about: number, unit: Unit, log: boolean): Tick[] {
  if (!(low < high) || !Number.isFinite(high - low)) {
    return [];
  }
  // Whether an axis is logarithmic and what it spans come one after the other.
  if (log && low > -300 && high < 300) {
    return powers(low, high, about, unit);
  }
  return unit === 'number' ? numbers(low, high, about) : times(low, high, about, unit);
}

function numbers(low: number, high: number, about: number): Tick[] {
  const step = roundStep((high - low) / about);
  return multiples(low, high, step).map(at => ({ at, label: withDigitsFor(at, step) }));
}

/** The smallest of 1, 2, 5, 10, … that is not below `exact`. */
function roundStep(exact: number): number {
  const size = 10 ** Math.floor(Math.log10(exact));
  return ([1, 2, 5, 10].find(factor => size * factor >= exact * 0.999) ?? 10) * size;
}

function multiples(low: number, high: number, step: number, shift = 0): number[] {
  const first = Math.ceil((low + shift) / step - 1e-9);
  const last = Math.floor((high + shift) / step + 1e-9);
  const found: number[] = [];
  // A step far below the size of its numbers would never get on.
  for (let nth = first; nth <= last && found.length < 100; nth++) {
    found.push(Number((nth * step - shift).toPrecision(14)));
  }
  return found;
}

/** As many digits as neighbours at a distance of `step` need to differ. */
function withDigitsFor(value: number, step: number): string {
  if (Math.abs(value) < step / 1e6) {
    return '0';
  }
  const digits = Math.floor(Math.log10(Math.abs(value))) - Math.floor(Math.log10(step)) + 1;
  return tidy(Number(value.toPrecision(Math.min(Math.max(digits, 1), 15))));
}

function tidy(value: number): string {
  const size = Math.abs(value);
  const most = Number.isInteger(value) ? 1e7 : 1e6;
  const plain = size === 0 || (size >= 1e-4 && size < most);
  const text = plain ? String(value) : value.toExponential().replace('e+', 'e');
  return text.replace('-', '−');
}

/** Powers of ten; between two of them 1, 2 and 5 times, or any round numbers if they are close. */
function powers(low: number, high: number, about: number, unit: Unit): Tick[] {
  if (unit === 'time') {
    return magnitudes(low, high, about);
  }
  const tick = (value: number): Tick => ({
    at: Math.log10(value),
    label: tidy(Number(value.toPrecision(6)))
  });
  if (high - low < 0.7) {
    return numbers(10 ** low, 10 ** high, about).map(({ at }) => tick(at));
  }
  const stride = Math.max(1, Math.ceil((high - low) / about));
  const tens = multiples(low, high, stride);
  if (high - low >= 2) {
    return tens.map(at => tick(10 ** at));
  }
  const all = multiples(Math.floor(low), Math.ceil(high), 1).flatMap(ten =>
    [1, 2, 5].map(factor => Number((factor * 10 ** ten).toPrecision(3)))
  );
  return all.filter(value => Math.log10(value) >= low && Math.log10(value) <= high).map(tick);
}

/** Durations of which each is about ten times the one before, or finer ones if they are close. */
function magnitudes(low: number, high: number, about: number): Tick[] {
  const within = (value: number): boolean => value >= 10 ** low && value <= 10 ** high;
  const coarse = MAGNITUDES.filter(within);
  const fine = STEPS.filter(within);
  const chosen = coarse.length > 1 || fine.length < 2 ? coarse : fine;
  const stride = Math.ceil(chosen.length / about);
  return chosen
    .filter((_, nth) => nth % stride === 0)
    .map(at => ({ at: Math.log10(at), label: elapsed(at, Math.min(at, 1)) }));
}

function times(low: number, high: number, about: number, unit: Unit): Tick[] {
  const exact = (high - low) / about;
  const longer = (): number => STEPS.find(own => own >= exact) ?? roundStep(exact / DAY) * DAY;
  const step = exact < 1 ? roundStep(exact) : longer();
  const shift = unit === 'clock' ? -new Date(high * 1000).getTimezoneOffset() * 60 : 0;
  return multiples(low, high, step, shift).map(at => ({
    at,
    label: unit === 'clock' ? onTheClock(at, step) : elapsed(at, step)
  }));
}

function onTheClock(value: number, step: number): string {
  const date = new Date(value * 1000);
  if (step >= DAY) {
    return date.toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
  }
  const clock = [date.getHours(), date.getMinutes()].map(two).join(':');
  if (step >= 60) {
    return clock;
  }
  return `${clock}:${two(date.getSeconds())}`;
}

/** Seconds as 0:30, 1:00:00 or 2 d; with decimals where `step` is below a second. */
function elapsed(value: number, step: number): string {
  const sign = value < 0 ? '−' : '';
  const size = Math.abs(value);
  if (step < 1) {
    return `${sign}${tidy(Number(size.toFixed(Math.min(6, Math.ceil(-Math.log10(step))))))} s`;
  }
  const whole = Math.round(size);
  if (step >= DAY) {
    return `${sign}${tidy(Number((size / DAY).toPrecision(4)))} d`;
  }
  const hours = Math.floor(whole / 3600);
  const rest = `${two(whole % 60)}`;
  const minutes = Math.floor(whole / 60) % 60;
  return sign + (hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`);
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
