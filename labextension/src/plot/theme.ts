/** The colours of a page that a canvas cannot take from a style sheet. */
export interface Theme {
  readonly text: string;
  readonly faint: string;
  readonly grid: string;
  readonly background: string;
  readonly accent: string;
  readonly font: string;
}

const VARIABLES: readonly (readonly [keyof Theme, string])[] = [
  ['text', '--jp-ui-font-color1'],
  ['faint', '--jp-ui-font-color2'],
  ['grid', '--jp-border-color2'],
  ['background', '--jp-layout-color1'],
  ['accent', '--jp-brand-color1'],
  ['font', '--jp-ui-font-family']
];

/** The colours that hold for an element now. */
export function themeOf(node: Element): Theme {
  const style = getComputedStyle(node);
  const { color, fontFamily } = style;
  const own: Record<string, string> = {
    ...{ text: color, faint: color, grid: color, background: 'Canvas', accent: color },
    font: fontFamily
  };
  for (const [name, variable] of VARIABLES) {
    own[name] = style.getPropertyValue(variable).trim() || own[name]!;
  }
  return own as unknown as Theme;
}

/** Call `changed` whenever the page has another theme. */
export function watchTheme(changed: () => void, signal: AbortSignal): void {
  const observer = new MutationObserver(changed);
  const attributeFilter = ['class', 'data-jp-theme-name', 'data-jp-theme-light'];
  observer.observe(document.body, { attributes: true, attributeFilter });
  signal.addEventListener('abort', () => observer.disconnect());
}
