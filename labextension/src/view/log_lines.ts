import type { LogPiece } from '../protocol';
import { coloured, PLAIN, uncoloured, type Span, type TextStyle } from './ansi';

const MOST_LINES = 2000;
const MOST_CHARACTERS = 2_000_000;
const LONGEST = 5000;
// The kernel cuts long lines, too, and says so behind them: that is not to be cut again.
const SLACK = 100;

/** One line of a log as it is kept. */
export interface LogLine {
  readonly text: string;
  /** Bytes of the file that were passed over just before it. */
  readonly passed: number;
  /** The look that an earlier line left behind. */
  readonly start: TextStyle;
  readonly end: TextStyle;
}

/** The last lines of a log, put together from the pieces that the kernel sends; bounded. */
export class LogLines {
  file = '';
  files: readonly string[] = [];
  /** How many bytes of the file come before the first line here. */
  cut = 0;
  size = 0;
  ended = false;
  /** The number of the first line here. */
  first = 0;
  private lines: LogLine[] = [];
  private characters = 0;
  private passed = 0;

  /** The number that the line after the last one will have. */
  get next(): number {
    return this.first + this.lines.length;
  }

  /** The line of this number, if it is here. */
  line(number: number): LogLine | undefined {
    return this.lines[number - this.first];
  }

  /** All lines without their codes. */
  text(): string {
    return this.lines.map(line => `${uncoloured(line.text)}\n`).join('');
  }

  /** Take in a piece; the number of the first line that changed, null if some before are missing. */
  apply(piece: LogPiece): number | null {
    if (piece.reset) {
      this.forget(piece.first);
    } else if (piece.file !== this.file || piece.first > this.next) {
      return null;
    }
    this.file = piece.file;
    this.files = piece.files.length > 0 ? piece.files : this.files;
    this.size = piece.size;
    this.ended = piece.ended;
    this.cut = piece.reset ? piece.cut : Math.max(this.cut, piece.cut);
    this.passed += piece.passed;
    this.replace(piece);
    this.bound();
    return piece.reset ? -Infinity : piece.first;
  }

  /** Forget everything, such as when another run is shown. */
  clear(): void {
    this.forget(0);
    this.file = '';
    this.files = [];
    this.cut = this.size = 0;
    this.ended = false;
  }

  private forget(first: number): void {
    this.first = first;
    this.lines = [];
    this.characters = 0;
    this.passed = 0;
  }

  private replace(piece: LogPiece): void {
    const from = Math.max(piece.first, this.first);
    const old = this.lines.splice(from - this.first);
    this.characters -= old.reduce((sum, line) => sum + line.text.length, 0);
    // Only the last of very many can stay, so the others are not even looked at.
    const known = from - piece.first;
    const skipped = Math.max(known, piece.lines.length - MOST_LINES);
    if (skipped > known) {
      this.forgetUntil(piece.first + skipped);
    }
    piece.lines.slice(skipped).forEach((text, index) => {
      this.add(shortened(text), old[index + skipped - known]?.passed ?? 0);
    });
  }

  private forgetUntil(first: number): void {
    const passed = this.passed;
    this.forget(first);
    this.passed = passed;
  }

  private add(text: string, passedBefore: number): void {
    const start = this.lines[this.lines.length - 1]?.end ?? PLAIN;
    const passed = passedBefore + this.passed;
    this.passed = 0;
    this.lines.push({ text, passed, start, end: endOf(text, start) });
    this.characters += text.length;
  }

  private bound(): void {
    let drop = Math.max(0, this.lines.length - MOST_LINES);
    let left = this.characters;
    this.lines.slice(0, drop).forEach(line => (left -= line.text.length));
    while (left > MOST_CHARACTERS && drop < this.lines.length - 1) {
      left -= this.lines[drop++]?.text.length ?? 0;
    }
    this.lines.splice(0, drop);
    this.first += drop;
    this.characters = left;
  }
}

/** `text`, or its beginning and how much more there is. */
export function shortened(text: string): string {
  const more = text.length - LONGEST;
  return more > SLACK
    ? `${text.slice(0, LONGEST)}… (${more.toLocaleString('en')} more characters)`
    : text;
}

/** The spans of a line. */
export function spansOf(line: LogLine): readonly Span[] {
  return coloured(line.text, line.start).spans;
}

function endOf(text: string, start: TextStyle): TextStyle {
  return text.includes('\x1b') ? coloured(text, start).end : start;
}
