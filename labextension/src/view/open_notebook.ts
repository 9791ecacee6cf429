import { bytes as inBytes } from '../format';
import { copyText } from './controls';
import { words } from './download';
import type { Notices } from './notices';
import type { FilePart, Session } from './session';
import { trans } from './words';

const PIECE = 512 * 1024;
const MOST = 64 * 1000 * 1000;
const ATTEMPTS = 4;

/** An executed notebook: of which run, where in its folder, and what to call it. */
export interface ExecutedNotebook {
  readonly run: string;
  readonly path: string;
  readonly title: string;
}

/** What the application around is asked to show; it reads the notebook through this view. */
export interface NotebookSource extends ExecutedNotebook {
  /** What there is by now, or `null` if nothing is new; fails when nothing more can be read. */
  readonly read: (signal: AbortSignal) => Promise<NotebookPart | null>;
}

/** A notebook as it was read; `ended` if it will not change any more. */
export interface NotebookPart {
  readonly content: unknown;
  readonly ended: boolean;
}

/** Show an executed notebook in the application around; where that cannot be, tell its path. */
export async function openNotebook(
  session: Session,
  notices: Notices,
  notebook: ExecutedNotebook
): Promise<void> {
  const source: NotebookSource = { ...notebook, read: reader(session, notebook) };
  const event = new CustomEvent('aml:open-notebook', { detail: source, cancelable: true });
  if (!window.dispatchEvent(event)) {
    return;
  }
  const path = placeOf(session, notebook);
  notices.say((await copyText(path)) ? trans.__('%1 (copied)', path) : path);
}

/** Runs lie beside each other: where the one that leads is tells where all are. */
function placeOf(session: Session, { run, path }: ExecutedNotebook): string {
  const own = session.run?.work ?? '';
  const runs = own.split('/').slice(0, -2).join('/');
  return `${runs}/${run}/${path}`;
}

function reader(session: Session, notebook: ExecutedNotebook): NotebookSource['read'] {
  let known = '';
  return async signal => {
    const ask = (from: number, count: number): Promise<FilePart> =>
      session.bytes(notebook.path, from, count, signal, notebook.run);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const now = await ask(0, 0);
      if (stamp(now) === known) {
        return null;
      }
      if (now.size > MOST) {
        throw new Error(trans.__('It has %1, too much to be shown here.', inBytes(now.size)));
      }
      const content = await whole(now, ask);
      if (content !== undefined) {
        known = stamp(now);
        return { content, ended: now.ended };
      }
    }
    return null; // It is written faster than it is read: next time.
  };
}

// Whether the run has ended is a part of it: the last look tells that nothing more will come.
function stamp({ size, modified, ended }: FilePart): string {
  return `${size} ${modified} ${ended}`;
}

/** The notebook as it was at `first`; undefined if it was written anew meanwhile. */
async function whole(
  first: FilePart,
  ask: (from: number, count: number) => Promise<FilePart>
): Promise<unknown> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (let done = 0; done < first.size; ) {
    const part = await ask(done, Math.min(PIECE, first.size - done));
    if (part.modified !== first.modified || part.size !== first.size || part.data.length === 0) {
      return undefined;
    }
    parts.push(part.data);
    done += part.data.length;
  }
  try {
    return JSON.parse(await new Blob(parts).text()) as unknown;
  } catch (error) {
    throw new Error(trans.__('It cannot be read as a notebook: %1', words(error)));
  }
}
