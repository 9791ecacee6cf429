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
