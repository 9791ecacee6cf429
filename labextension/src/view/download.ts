import { element } from '../dom';
import { bytes as inBytes } from '../format';
import { button, setShown, setText } from './controls';
import type { Notices } from './notices';
import type { FilePart, Session } from './session';
import { trans, waiting } from './words';

const PIECE = 512 * 1024;
const MOST = 512 * 1000 * 1000;

/** The first `most` bytes of a file of the run, piece by piece, and the size of all of it. */
export async function fetchFile(
  session: Session,
  path: string,
  most: number,
  signal: AbortSignal,
  onProgress: (done: number, size: number) => void = () => undefined
): Promise<{ readonly parts: Uint8Array<ArrayBuffer>[]; readonly size: number }> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let done = 0;
  // A log may grow while it is fetched: as it was at the beginning is enough.
  let size = most;
  let part: FilePart;
  do {
    part = await session.bytes(path, done, Math.min(PIECE, Math.min(most, size) - done), signal);
    size = done === 0 ? part.size : size;
    parts.push(part.data);
    done += part.data.length;
    onProgress(done, size);
  } while (part.data.length > 0 && done < Math.min(most, size));
  return { parts, size };
}

/** A line that shows how far a download is, with a button that gives it up; one at a time. */
export class Download {
  readonly node = element('span', { class: 'aml-v-download', hidden: '' });
  private readonly words = element('span', { role: 'status' });
  private running: AbortController | null = null;

  constructor(
    private readonly session: Session,
    private readonly notices: Notices,
    signal: AbortSignal
  ) {
    this.node.append(this.words, button(trans.__('Stop'), () => this.running?.abort()));
    signal.addEventListener('abort', () => this.running?.abort());
  }

  /** Save a file of the run where the browser keeps what it downloads. */
  async start(path: string, size: number): Promise<void> {
    const address = this.session.fileUrl(path, true);
    if (address !== undefined) {
      element('a', { href: address, download: path.split('/').pop() ?? path }).click();
      return;
    }
    if (size > MOST) {
      this.notices.say(trans.__('A browser cannot take %1. The file is %2', inBytes(size), this.placeOf(path)));
      return;
    }
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    setShown(this.node, true);
    try {
      await this.save(path, running.signal);
    } catch (error) {
      if (!running.signal.aborted) {
        this.notices.say(trans.__('%1 could not be downloaded. %2', path, words(error)), true);
      }
    }
    if (this.running === running) {
      setShown(this.node, false);
    }
  }

  private placeOf(path: string): string {
    const folder = this.session.answer('files')?.files?.folder;
    return folder === undefined ? trans.__("%1 in the run's folder.", path) : `${folder}/${path}`;
  }

  private async save(path: string, signal: AbortSignal): Promise<void> {
    const name = path.split('/').pop() ?? path;
    setText(this.words, `${name}: ${waiting()}`);
    const { parts } = await fetchFile(this.session, path, MOST, signal, (done, size) =>
      setText(this.words, trans.__('%1: %2 of %3', name, inBytes(done), inBytes(size)))
    );
    const url = URL.createObjectURL(new Blob(parts));
    const link = element('a', { href: url, download: name });
    link.click();
    // Not at once: some browsers begin to read it only now.
    window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}

/** The words of whatever was thrown. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
