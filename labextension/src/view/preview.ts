import { element } from '../dom';
import { bytes, count } from '../format';
import { uncoloured } from './ansi';
import { rowsOf } from './csv';
import { fetchFile } from './download';
import type { Session } from './session';
import { trans } from './words';

const MOST_TEXT = 256 * 1000;
const MOST_WHOLE = 1_000_000;
const MOST_ROWS = 100;
const MOST_COLUMNS = 30;
const MOST_CELL = 200;

// An SVG is only ever shown as a picture: as part of the page it could run scripts.
const PICTURES: Readonly<Record<string, string>> = {
  ...{ png: 'image/png', jpg: 'image/jpeg', jpeg: 'image/jpeg', gif: 'image/gif' },
  ...{ webp: 'image/webp', bmp: 'image/bmp', svg: 'image/svg+xml' }
};

const PAGES: ReadonlySet<string> = new Set(['html', 'htm']);

/** What a file of the run looks like; nothing that is in it becomes markup. */
export async function previewOf(
  session: Session,
  path: string,
  size: number,
  signal: AbortSignal
): Promise<HTMLElement> {
  const ending = /\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
  const picture = PICTURES[ending];
  const address = session.fileUrl(path);
  if (address !== undefined && picture !== undefined) {
    return imageOf(address, path);
  }
  if (address !== undefined && PAGES.has(ending)) {
    return frameOf(address, path);
  }
  if (picture !== undefined) {
    return size > MOST_WHOLE
      ? note(trans.__('The picture has %1, too much for a preview.', bytes(size)))
      : pictureOf(session, path, picture, signal);
  }
  const isJson = ending === 'json' && size <= MOST_WHOLE;
  const most = isJson ? MOST_WHOLE : MOST_TEXT;
  const fetched = await fetchFile(session, path, most, signal);
  const data = joined(fetched.parts);
  if (data.subarray(0, 4096).includes(0)) {
    return note(trans.__('There is no preview of this kind of file.'));
  }
  const text = new TextDecoder().decode(data);
  const isWhole = data.length >= fetched.size;
  if (ending === 'csv' || ending === 'tsv') {
    return tableOf(text, isWhole);
  }
  return textOf(isJson ? indented(text) : text, isWhole, fetched.size);
}

async function pictureOf(
  session: Session,
  path: string,
  type: string,
  signal: AbortSignal
): Promise<HTMLElement> {
  const { parts } = await fetchFile(session, path, MOST_WHOLE, signal);
  const url = URL.createObjectURL(new Blob(parts, { type }));
  signal.addEventListener('abort', () => URL.revokeObjectURL(url));
  return imageOf(url, path);
}

function imageOf(address: string, path: string): HTMLElement {
  const image = element('img', { class: 'aml-v-image', src: address, alt: path });
  image.addEventListener('error', () => image.replaceWith(note(trans.__('This picture cannot be shown.'))));
  return image;
}

/** A page of the run: in a frame that may do nothing, whatever the page wants. */
function frameOf(address: string, path: string): HTMLElement {
  return element(
    'div',
    {},
    note(trans.__('Scripts of a page are not run here. Download it to see all of it.')),
    element('iframe', {
      ...{ class: 'aml-v-frame', src: address, title: path, sandbox: '' },
      ...{ referrerpolicy: 'no-referrer' }
    })
  );
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function textOf(text: string, isWhole: boolean, size: number): HTMLElement {
  const shown = text.slice(0, MOST_TEXT);
  const cut = isWhole && shown.length === text.length ? null : trans.__('The beginning of %1.', bytes(size));
  return element(
    'div',
    {},
    cut === null ? null : note(cut),
    element('pre', { class: 'aml-v-text', tabindex: '0' }, uncoloured(shown) || trans.__('The file is empty.'))
  );
}

function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // As it is: NaN, which Python writes, is no JSON.
  }
}

function tableOf(text: string, isWhole: boolean): HTMLElement {
  const rows = rowsOf(text.replace(/^\ufeff/, ''), MOST_ROWS + 2);
  const [head = [], ...body] = rows;
  const isCut = !isWhole || body.length > MOST_ROWS;
  const widest = Math.max(...rows.map(row => row.length), 0);
  const words = [
    isCut
      ? trans.__('The first %1 rows.', Math.min(body.length, MOST_ROWS))
      : trans._n('%2 row.', '%2 rows.', body.length, count(body.length)),
    widest > MOST_COLUMNS ? trans.__('The first %1 of %2 columns.', MOST_COLUMNS, count(widest)) : ''
  ];
  return element(
    'div',
    {},
    note(words.join(' ')),
    element(
      'div',
      { class: 'aml-v-scroll', tabindex: '0' },
      element(
        'table',
        { class: 'aml-v-table' },
        element('thead', {}, rowOf(head, 'th')),
        element('tbody', {}, ...body.slice(0, MOST_ROWS).map(row => rowOf(row, 'td')))
      )
    )
  );
}

function rowOf(cells: readonly string[], tag: 'th' | 'td'): HTMLElement {
  const shown = cells.slice(0, MOST_COLUMNS).map(cell => cell.slice(0, MOST_CELL));
  return element('tr', {}, ...shown.map(cell => element(tag, isNumber(cell) ? RIGHT : {}, cell)));
}

const RIGHT = { class: 'aml-v-right' };

function isNumber(cell: string): boolean {
  return cell.trim() !== '' && !Number.isNaN(Number(cell));
}

function note(words: string): HTMLElement {
  return element('p', { class: 'aml-v-muted' }, words);
}
