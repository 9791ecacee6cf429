import type { FilterWords } from '../api';
import { METRIC } from './asking';

/** What a word of the filter line may become. */
export interface Completion {
  readonly text: string;
  /** Whether more must follow, so that no space is put after it. */
  readonly open: boolean;
}

/** The word in which the caret stands. */
export interface Word {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

const MOST = 12;
const AGES = ['1h', '24h', '7d', '30d', 'today'];
const CHOICES = ['yes', 'only'];

/** The word that ends at the caret, in quotes or not. */
export function wordAt(line: string, caret: number): Word {
  let from = 0;
  let isQuoted = false;
  for (let at = 0; at < caret; at++) {
    if (line[at] === '"') {
      isQuoted = !isQuoted;
    } else if (!isQuoted && /\s/.test(line[at]!)) {
      from = at + 1;
    }
  }
  return { from, to: caret, text: line.slice(from, caret) };
}

/** What a word may become: the names of what can be asked, or the names that there are of one. */
export function completions(word: string, words: FilterWords): Completion[] {
  const minus = word.startsWith('-') ? '-' : '';
  const typed = word.slice(minus.length);
  const [, key, value] = /^(\w+[:.])(.*)$/.exec(typed) ?? [];
  if (key === undefined) {
    return found(Object.keys(namesOf(words)), typed).map(text => ({
      text: minus + text,
      open: true
    }));
  }
  const names = namesOf(words)[key] ?? [];
  return found(names, value!.replace(/"/g, ''))
    .map(name => ({ text: minus + key + quoted(name), open: key === METRIC }))
    .filter(({ text }) => text.toLowerCase() !== word.toLowerCase());
}

function namesOf(words: FilterWords): Readonly<Record<string, readonly string[]>> {
  return {
    'state:': words.states,
    'tag:': words.tags,
    [METRIC]: words.metrics,
    'experiment:': words.experiments,
    'notebook:': words.notebooks,
    'target:': words.targets,
    'since:': AGES,
    'before:': AGES,
    'archived:': CHOICES,
    'children:': CHOICES
  };
}

/** Names that begin so, then those that have it somewhere. */
function found(names: readonly string[], typed: string): string[] {
  const wanted = typed.toLowerCase();
  const begin = names.filter(name => name.toLowerCase().startsWith(wanted));
  const hold = names.filter(name => name.toLowerCase().indexOf(wanted) > 0);
  return [...begin, ...hold].slice(0, MOST);
}

function quoted(name: string): string {
  return /[\s"\\<>=!,*]/.test(name) ? `"${name.replace(/(["\\])/g, '\\$1')}"` : name;
}
