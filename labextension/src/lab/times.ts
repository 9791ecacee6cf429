import type { Words } from '../states';
import { duration } from '../format';

/** How long ago something was, roughly. */
export function ago(seconds: number, trans: Words): string {
  const passed = Date.now() / 1000 - seconds;
  return passed < 60 ? trans.__('just now') : trans.__('%1 ago', roughly(passed));
}

function roughly(seconds: number): string {
  return duration(seconds).replace(/^(\d+ [a-z]+) .*$/, '$1');
}
