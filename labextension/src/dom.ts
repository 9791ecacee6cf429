type Child = Node | string | null;
type Attributes = Readonly<Record<string, string>>;

const SVG = 'http://www.w3.org/2000/svg';

/** A new HTML element; strings become text and never markup, `null` children are left out. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes,
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  return filled(document.createElement(tag), attributes, children);
}

/** A new SVG element, made like `element`. */
export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes,
  ...children: readonly Child[]
): SVGElementTagNameMap[Tag] {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Letters at the end of a name that tell runs apart: ids end with them. */
const TELLING = 8;
const LONG = 16;

/** A name that is cut in its middle where there is no room for it, by the style sheet. */
export function nameHalves(name: string): HTMLElement[] {
  const at = name.length > LONG ? name.length - TELLING : name.length;
  return [name.slice(0, at), name.slice(at)].map(half => element('span', { class: 'aml-Half' }, half));
}

/** As much of a name as fits a tab of JupyterLab, for where no style sheet can cut it. */
const ROOM = 22;

/** A name for where no style sheet can cut it. */
export function shortName(name: string): string {
  return name.length > ROOM ? `${name.slice(0, ROOM - TELLING - 1)}…${name.slice(-TELLING)}` : name;
}

function filled<Made extends Element>(
  made: Made,
  attributes: Attributes,
  children: readonly Child[]
): Made {
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null));
  return made;
}
