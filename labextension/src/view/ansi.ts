/** How a stretch of terminal text looks; colours are `#rrggbb`, null is the reader's own. */
export interface TextStyle {
  readonly front: string | null;
  readonly back: string | null;
  readonly bold: boolean;
  readonly faint: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly strike: boolean;
  readonly inverse: boolean;
}

/** Text of one look. */
export interface Span {
  readonly text: string;
  readonly style: TextStyle;
}

/** A line of terminal text as it should be seen, and the look that the next line begins with. */
export interface Coloured {
  readonly spans: readonly Span[];
  readonly end: TextStyle;
}

/** The look of text without any codes. */
export const PLAIN: TextStyle = {
  front: null,
  back: null,
  bold: false,
  faint: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false
};

// Colours that can be read on white and on black; these two become the reader's own.
const BASIC: readonly (string | null)[] = [
  ...[null, '#d14d41', '#1f9653', '#a17c0a', '#2f83d0', '#b457a8', '#1f8c8c', null],
  ...['#7d8187', '#e0604f', '#2a9d58', '#ad850f', '#4a90d9', '#c067b5', '#2a9696', null]
];
const CUBE = [0, 95, 135, 175, 215, 255];

// A colour code, or anything else that moves a cursor, sets a title or is a control character.
const CODE = new RegExp(
  [
    /\x1b\[([0-9;:]*)m/,
    /\x1b\[[0-?]*[ -/]*[@-~]?/,
    /\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?/,
    /\x1b[ -/]*[0-~]?/,
    /[\x00-\x08\x0b-\x1f\x7f]/
  ]
    .map(code => code.source)
    .join('|'),
  'g'
);

/** The spans of `text`, which begins in the look `start`; codes that are not looks are left out. */
export function coloured(text: string, start: TextStyle = PLAIN): Coloured {
  const spans: Span[] = [];
  let style = start;
  let at = 0;
  const add = (until: number): void => {
    if (until > at) {
      spans.push({ text: text.slice(at, until), style });
    }
  };
  for (const code of text.matchAll(CODE)) {
    add(code.index);
    at = code.index + code[0].length;
    style = code[1] === undefined ? style : restyled(style, code[1]);
  }
  add(text.length);
  return { spans, end: style };
}

/** `text` without its codes. */
export function uncoloured(text: string): string {
  return text.replace(CODE, '');
}

/** CSS declarations for a look; empty for plain text. */
export function cssOf(style: TextStyle): string {
  const [front, back] = seenColours(style);
  const lines = [style.underline ? 'underline' : '', style.strike ? 'line-through' : ''];
  const declared = [
    front === null ? '' : `color:${front}`,
    back === null ? '' : `background-color:${back}`,
    style.bold ? 'font-weight:bold' : '',
    style.faint ? 'opacity:0.65' : '',
    style.italic ? 'font-style:italic' : '',
    style.underline || style.strike ? `text-decoration:${lines.join(' ').trim()}` : ''
  ];
  return declared.filter(one => one !== '').join(';');
}

function seenColours(style: TextStyle): readonly [string | null, string | null] {
  const { front, back, inverse } = style;
  if (inverse) {
    return [back ?? 'var(--aml-back)', front ?? 'var(--aml-text)'];
  }
  if (back !== null) {
    return [front ?? (lightness(back) > 0.3 ? '#000000' : '#ffffff'), back];
  }
  return [front === null ? null : readable(front), null];
}

function restyled(start: TextStyle, codes: string): TextStyle {
  // `38:2::r:g:b` is the same as `38;2;r;g;b`, with a colour space that nobody sets.
  const flat = codes.replace(/([34]8):2:\d*:(\d+:\d+:\d+)/g, '$1:2:$2');
  const numbers = flat.split(/[;:]/).map(Number);
  let style = start;
  for (let at = 0; at < numbers.length; at++) {
    const code = numbers[at] ?? 0;
    if (code === 38 || code === 48) {
      const [colour, used] = extended(numbers.slice(at + 1, at + 5));
      style = { ...style, [code === 38 ? 'front' : 'back']: colour };
      at += used;
    } else {
      style = code === 0 ? PLAIN : { ...style, ...changed(code) };
    }
  }
  return style;
}

const CHANGES: Readonly<Record<number, Partial<TextStyle>>> = {
  1: { bold: true },
  2: { faint: true },
  3: { italic: true },
  4: { underline: true },
  7: { inverse: true },
  9: { strike: true },
  21: { underline: true },
  22: { bold: false, faint: false },
  23: { italic: false },
  24: { underline: false },
  27: { inverse: false },
  29: { strike: false },
  39: { front: null },
  49: { back: null }
};

function changed(code: number): Partial<TextStyle> {
  if (code >= 30 && code <= 37) {
    return { front: BASIC[code - 30] ?? null };
  }
  if (code >= 90 && code <= 97) {
    return { front: BASIC[code - 82] ?? null };
  }
  if (code >= 40 && code <= 47) {
    return { back: background(code - 40) };
  }
  return code >= 100 && code <= 107 ? { back: background(code - 92) } : CHANGES[code] ?? {};
}

function background(index: number): string {
  return BASIC[index] ?? (index === 0 ? '#000000' : '#e4e4e4');
}

/** The colour behind `38` or `48`, and how many numbers it took. */
function extended(numbers: readonly number[]): readonly [string | null, number] {
  const [kind, ...rest] = numbers;
  if (kind === 5) {
    return [indexed(rest[0] ?? 0), 2];
  }
  if (kind === 2) {
    return [hex(rest[0] ?? 0, rest[1] ?? 0, rest[2] ?? 0), 4];
  }
  return [null, numbers.length];
}

function indexed(index: number): string | null {
  if (index < 16) {
    return BASIC[index] ?? null;
  }
  if (index > 231) {
    const grey = 8 + 10 * (index - 232);
    return hex(grey, grey, grey);
  }
  const part = (size: number): number => CUBE[Math.floor((index - 16) / size) % 6] ?? 0;
  return hex(part(36), part(6), part(1));
}

function hex(red: number, green: number, blue: number): string {
  const parts = [red, green, blue].map(part => Math.min(255, Math.max(0, Math.round(part) || 0)));
  return `#${parts.map(part => part.toString(16).padStart(2, '0')).join('')}`;
}

// A program does not know whether its reader's page is light or dark, so colours without a
// background of their own are brought to a lightness that shows on both.
const DARKEST = 0.13;
const LIGHTEST = 0.27;

function readable(colour: string): string {
  const light = lightness(colour);
  if (light >= DARKEST && light <= LIGHTEST) {
    return colour;
  }
  const wanted = light < DARKEST ? DARKEST : LIGHTEST;
  const parts =
    light < DARKEST
      ? lighter(linear(colour), light, wanted)
      : linear(colour).map(part => (part * wanted) / light);
  const [red, green, blue] = parts.map(part => 255 * Math.min(1, part) ** (1 / 2.2));
  return hex(red ?? 0, green ?? 0, blue ?? 0);
}

function lighter(parts: readonly number[], light: number, wanted: number): number[] {
  const white = (wanted - light) / (1 - light);
  return parts.map(part => part + white * (1 - part));
}

function lightness(colour: string): number {
  const [red, green, blue] = linear(colour);
  return 0.2126 * (red ?? 0) + 0.7152 * (green ?? 0) + 0.0722 * (blue ?? 0);
}

function linear(colour: string): number[] {
  return [1, 3, 5].map(at => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
}
