import { element } from '../dom';
import type { RunHead } from '../protocol';
import { cssOf, type Span } from './ansi';
import { trans } from './words';

/** A place in a source file that a line of a log names. */
export interface Place {
  readonly path: string;
  readonly line: number;
}

interface Stretch {
  readonly from: number;
  readonly to: number;
}

interface PlaceStretch extends Stretch {
  readonly place: Place;
}

// `File "train.py", line 12`, and `train.py:12` as IPython, pytest and warnings write it.
const QUOTED = /File "([^"<>]{1,400})", line (\d{1,7})/g;
const COLON = /(?<![\w/.:~\\-])((?:[A-Za-z]:)?[\w/.~+@\\-]{1,400}\.pyx?):(\d{1,7})(?!\d)/g;
const MOST_PLACES = 20;
const MOST_HITS = 200;

/** Class of the elements that name a place in a source file. */
export const PLACE_CLASS = 'aml-v-place';
/** Class of the first mark of each hit of a search. */
export const HIT_CLASS = 'aml-v-hit';

/** The spans of a line as nodes, with places in sources and the hits of a search marked. */
export function lineNodes(spans: readonly Span[], search: string): Node[] {
  const text = spans.map(span => span.text).join('');
  const places = placesIn(text);
  const hits = hitsIn(text, search);
  return places.length + hits.length === 0
    ? spans.map(spanNode)
    : markedNodes(spans, places, hits);
}

/** The places in source files that a text names. */
export function placesIn(text: string): PlaceStretch[] {
  if (!text.includes('.py') && !text.includes('File "')) {
    return [];
  }
  const found: PlaceStretch[] = [];
  for (const pattern of [QUOTED, COLON]) {
    for (const match of text.matchAll(pattern)) {
      const stretch = { from: match.index, to: match.index + match[0].length };
      const place = { path: match[1] ?? '', line: Number(match[2]) };
      if (found.length < MOST_PLACES && !found.some(one => overlap(one, stretch))) {
        found.push({ ...stretch, place });
      }
    }
  }
  return found;
}

function overlap(one: Stretch, other: Stretch): boolean {
  return one.from < other.to && other.from < one.to;
}

/** Where a text is found in another, whatever the case. */
export function hitsIn(text: string, search: string): Stretch[] {
  const hits: Stretch[] = [];
  if (search === '') {
    return hits;
  }
  // Not `toLowerCase`: that may change the length of a text, and with it where things are.
  const pattern = new RegExp(search.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'giu');
  for (const match of text.matchAll(pattern)) {
    hits.push({ from: match.index, to: match.index + match[0].length });
    if (hits.length === MOST_HITS) {
      break;
    }
  }
  return hits;
}

function spanNode(span: Span): Node {
  const css = cssOf(span.style);
  if (css === '') {
    return document.createTextNode(span.text);
  }
  const node = element('span', {}, span.text);
  node.style.cssText = css;
  return node;
}

function markedNodes(
  spans: readonly Span[],
  places: readonly PlaceStretch[],
  hits: readonly Stretch[]
): Node[] {
  const edges = [...places, ...hits].flatMap(one => [one.from, one.to]).sort((a, b) => a - b);
  const nodes: Node[] = [];
  const inPlaces = new Map<PlaceStretch, HTMLElement>();
  for (const [from, part] of cutAt(spans, edges)) {
    const stretch = places.find(one => one.from <= from && from < one.to);
    const node = marked(spanNode(part), from, hits);
    if (stretch === undefined) {
      nodes.push(node);
      continue;
    }
    // A place may have several colours: they stand together in one link.
    const link = inPlaces.get(stretch) ?? placeNode(stretch.place);
    if (!inPlaces.has(stretch)) {
      inPlaces.set(stretch, link);
      nodes.push(link);
    }
    link.append(node);
  }
  return nodes;
}

/** The spans, cut so that no edge lies inside of one; each with where it begins. */
function* cutAt(
  spans: readonly Span[],
  edges: readonly number[]
): Generator<readonly [number, Span]> {
  let at = 0;
  let edge = 0;
  for (const span of spans) {
    const end = at + span.text.length;
    let from = at;
    while (from < end) {
      while ((edges[edge] ?? Infinity) <= from) {
        edge++;
      }
      const to = Math.min(end, edges[edge] ?? Infinity);
      yield [from, { text: span.text.slice(from - at, to - at), style: span.style }];
      from = to;
    }
    at = end;
  }
}

function marked(node: Node, from: number, hits: readonly Stretch[]): Node {
  const hit = hits.find(one => one.from <= from && from < one.to);
  return hit === undefined
    ? node
    : element('mark', { class: hit.from === from ? HIT_CLASS : 'aml-v-hit-rest' }, node);
}

function placeNode(place: Place): HTMLElement {
  // No real link: there is nothing to go to but what the application around offers.
  return element('span', {
    class: PLACE_CLASS,
    role: 'link',
    tabindex: '0',
    'data-path': place.path,
    'data-line': String(place.line),
    title: trans.__('Open %1 at line %2', place.path, place.line)
  });
}

/** The place that an element names; what a run copied is named where it was copied from. */
export function placeOf(node: HTMLElement, run: RunHead | undefined): Place {
  const path = node.dataset.path ?? '';
  return { path: original(path, run?.work ?? '', run?.source ?? ''), line: Number(node.dataset.line) };
}

function original(path: string, work: string, source: string): string {
  if (source === '') {
    return path;
  }
  if (path.startsWith(`${work}/`)) {
    return source + path.slice(work.length);
  }
  return path.startsWith('/') ? path : `${source}/${path}`;
}

/** Open a place in the application around; whether that did so. */
export function openPlace(place: Place): boolean {
  const event = new CustomEvent('aml:open-file', { detail: place, cancelable: true });
  return !window.dispatchEvent(event);
}
