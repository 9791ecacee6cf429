import { element } from './dom';

/** The sheets in the order in which the later overrule the earlier, whichever is needed first. */
const ORDER = [
  ...['panel', 'diff', 'form', 'lab', 'view', 'page'],
  ...['charts', 'plot', 'compare', 'cards']
];

/** Add style sheets to the page, each once; they hold from the next line on. */
export function addStyles(sheets: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(sheets)) {
    add(name, text);
  }
}

function add(name: string, text: string): void {
  const there = [...document.head.querySelectorAll<HTMLStyleElement>('style[data-aml-sheet]')];
  const rank = ORDER.indexOf(name);
  const ranks = there.map(sheet => ORDER.indexOf(sheet.dataset['amlSheet'] ?? ''));
  if (ranks.includes(rank)) {
    return;
  }
  const sheet = element('style', { 'data-aml-sheet': name }, text);
  const next = there[ranks.findIndex(other => other > rank)];
  document.head.insertBefore(sheet, next ?? there[there.length - 1]?.nextSibling ?? null);
}
