/** A number as a person would write it: only digits that matter, no trailing zeros, a true minus. */
export function number(value: number | null, digits = 4): string {
  return value === null ? '–' : short(value, digits).replace('-', '−');
}

function short(value: number, digits: number): string {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) {
    return String(value);
  }
  return size >= 1e6 || size < 1e-4
    ? value.toExponential(1)
    : String(Number(value.toPrecision(digits)));
}

/** Seconds as the two largest units that matter: `4.2 s`, `3 min 20 s`, `5 h 3 min`, `2 d 1 h`. */
export function duration(seconds: number): string {
  if (seconds < 60) {
    return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  }
  const whole = Math.round(seconds);
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  }
  const hours = Math.floor(whole / 3600);
  return hours < 24
    ? `${hours} h ${Math.floor((whole % 3600) / 60)} min`
    : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A moment in the reader's own time zone and language. */
export function moment(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString(undefined, {
    dateStyle: 'medium',
    timeStyle: 'medium'
  });
}

/** A whole number with its thousands apart: `10,000`. */
export function count(value: number): string {
  return value.toLocaleString('en');
}

/** A number of bytes with three digits: `812 B`, `12.4 MB`. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let rest = Math.abs(value);
  let unit = 0;
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  const digits = unit === 0 || rest >= 99.95 ? 0 : 1;
  return `${value < 0 ? '−' : ''}${rest.toFixed(digits)} ${units[unit]}`;
}

/** Seconds that go on, without the fraction that would flicker: `4 s`, `3 min 20 s`. */
export function ticking(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return whole < 60 ? `${whole} s` : duration(whole);
}

/** How long something still takes, no more exactly than anybody knows: `about 3 min`. */
export function remaining(seconds: number): string {
  if (seconds < 55) {
    return `about ${Math.max(5, Math.ceil(seconds / 5) * 5)} s`;
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) {
    return `about ${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  return hours < 24
    ? `about ${hours} h ${minutes % 60} min`
    : `about ${Math.round(hours / 24)} d`;
}
