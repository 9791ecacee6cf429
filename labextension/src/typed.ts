import type { Problem } from './api';
import { ServerError, type IRunService, type Query } from './tokens';

const NOT_UNDERSTOOD = 400;

/** An answer that may say what is wrong with the filter instead. */
export interface Typed {
  readonly problem?: Problem;
}

/**
 * Ask for what a filter finds that somebody may be typing right now. One that is not finished is
 * answered, and not refused: browsers note what is refused as errors of the page.
 */
export async function askTyped<Answer extends Typed>(
  service: IRunService,
  path: string,
  query: Query,
  signal: AbortSignal
): Promise<Answer> {
  const answer = await service.get<Answer>(path, { ...query, typed: 1 }, signal);
  if (answer.problem !== undefined) {
    throw new ServerError(answer.problem, NOT_UNDERSTOOD);
  }
  return answer;
}
