import { Notification } from '@jupyterlab/apputils';

import { ServerError } from '../tokens';

const BRIEFLY = 5000;

/** Tell what was done; it goes away by itself. */
export function tell(text: string, action?: Notification.IAction): void {
  Notification.success(text, { autoClose: BRIEFLY, actions: action ? [action] : [] });
}

/** Tell why nothing was done, or not all; it goes away by itself. */
export function inform(text: string): void {
  Notification.info(text, { autoClose: BRIEFLY });
}

/** Tell what went wrong and what to do; it stays until it is read. */
export function complain(error: unknown): void {
  Notification.error(wordsOf(error), { autoClose: false });
}

/** An error in one line: what happened, and what to do next. */
export function wordsOf(error: unknown): string {
  if (error instanceof ServerError) {
    return `${error.problem.message} ${error.problem.hint}`.trim();
  }
  return error instanceof Error ? error.message : String(error);
}
