import { element } from '../dom';
import type { PlotFigure } from './figure';
import { AXIS } from './frame';
import type { DrawnLine } from './lines';
import type { Theme } from './theme';

const ROW = 17;
const SWATCH = 24;

/** What is seen of a chart as separated values: a row for each point. */
export function csvOf(figure: PlotFigure): string {
  const { unit, range } = figure;
  const place = unit === 'number' ? 'step' : unit === 'time' ? 'seconds' : 'time';
  const rows = figure.lines.flatMap(line => rowsOf(line, range.x, unit === 'clock'));
  return [['line', 'run', 'metric', place, 'value'], ...rows].map(row => row.map(quoted).join()).join('\n') + '\n';
}

function rowsOf({ info, points, logged }: DrawnLine, [low, high]: readonly [number, number], isClock: boolean): string[][] {
  const rows: string[][] = [];
  points.x.forEach((shown, nth) => {
    const [x, y] = [logged.x[nth]!, logged.y[nth]!];
    if (shown >= low && shown <= high && Number.isFinite(y)) {
      const place = isClock ? new Date(x * 1000).toISOString() : String(x);
      rows.push([info.label, info.run, info.metric, place, String(y)]);
    }
  });
  return rows;
}

function quoted(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** A chart with its title and legend, on the background of the page. */
export function pictureOf(figure: PlotFigure, title: string, theme: Theme): Promise<Blob> {
  const source = figure.canvas;
  const picture = document.createElement('canvas');
  const ctx = picture.getContext('2d');
  if (!source || !ctx) {
    return Promise.reject(new Error('nothing is drawn'));
  }
  const ratio = source.width / source.clientWidth;
  const lines = figure.lines.length > 1 ? figure.lines : [];
  ctx.font = `11px ${theme.font}`;
  const entries = laidOut(ctx, lines, source.clientWidth - 2 * SWATCH);
  const legend = figure.margin.bottom - AXIS;
  const more = Math.max(0, (entries[entries.length - 1]?.row ?? -1) * ROW + ROW - legend);
  picture.width = source.width;
  picture.height = source.height + more * ratio;
  ctx.fillStyle = theme.background;
  ctx.fillRect(0, 0, picture.width, picture.height);
  ctx.drawImage(source, 0, 0);
  ctx.scale(ratio, ratio);
  ctx.textBaseline = 'middle';
  ctx.fillStyle = theme.text;
  ctx.font = `600 12px ${theme.font}`;
  ctx.fillText(title, 8, 14);
  ctx.font = `11px ${theme.font}`;
  const top = source.clientHeight - Math.max(legend, 0);
  entries.forEach(entry => drawEntry(ctx, entry, top, theme));
  return new Promise((resolve, reject) =>
    picture.toBlob(blob => (blob ? resolve(blob) : reject(new Error('too large'))))
  );
}

interface Entry {
  readonly line: DrawnLine;
  readonly left: number;
  readonly row: number;
}

function laidOut(ctx: CanvasRenderingContext2D, lines: readonly DrawnLine[], width: number): Entry[] {
  let [left, row] = [0, 0];
  return lines.map(line => {
    const wide = SWATCH + ctx.measureText(line.info.label).width + 12;
    if (left > 0 && left + wide > width) {
      [left, row] = [0, row + 1];
    }
    const entry = { line, left: left + SWATCH, row };
    left += wide;
    return entry;
  });
}

function drawEntry(ctx: CanvasRenderingContext2D, { line, left, row }: Entry, top: number, theme: Theme): void {
  const middle = top + row * ROW + ROW / 2;
  ctx.fillStyle = line.info.colour;
  ctx.fillRect(left, middle - 1, 16, 2);
  ctx.fillStyle = theme.text;
  ctx.fillText(line.info.label, left + 20, middle);
}

/** Save something where the browser keeps what it downloads. */
export function save(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  element('a', { href: url, download: name }).click();
  // Not at once: some browsers begin to read it only now.
  window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A title as the name of a file. */
export function fileName(title: string, ending: string): string {
  return `${title.replace(/[^\p{L}\p{N}._-]+/gu, '_').slice(0, 80) || 'chart'}.${ending}`;
}
