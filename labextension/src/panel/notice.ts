import type { TranslationBundle } from '@jupyterlab/translation';

import { element } from '../dom';
import type { ServerError } from '../tokens';

/** What decides whether something must be said instead of the list, or above it. */
export interface Situation {
  readonly hasPlace: boolean;
  readonly problem: ServerError | null;
  readonly isEmpty: boolean;
  readonly isFiltered: boolean;
  readonly isConnected: boolean;
}

const EXTENSION = '%load_ext aml_jupyter';
const RUN = `%%aml_run
print("hello")`;
/** Milliseconds that a connection may be away before anything is said of it. */
const PATIENCE = 2500;

/** What is said where there is no list: what is missing, and what to do. */
export class Notice {
  readonly node = element('div', { class: 'aml-Notice', role: 'status' });
  private problem: ServerError | undefined;
  private isGreeted = false;
  private shown = '';
  private timer = 0;

  constructor(
    private readonly trans: TranslationBundle,
    private readonly clearFilter: () => void
  ) {
    this.node.hidden = true;
  }

  /** The server has said which workspaces there are, or why it cannot. */
  greeted(problem: ServerError | undefined): void {
    this.isGreeted = true;
    this.problem = problem;
  }

  show(situation: Situation): void {
    window.clearTimeout(this.timer);
    const { hasPlace, problem, isEmpty, isFiltered, isConnected } = situation;
    const wrong = problem ?? (hasPlace ? undefined : this.problem);
    if (wrong) {
      this.say('problem', wrong.message, () => this.wrong(wrong));
    } else if (!hasPlace) {
      this.say(this.isGreeted ? 'nowhere' : '', '', () => this.nowhere());
    } else if (isEmpty) {
      this.say(isFiltered ? 'nothing' : 'none', '', () => (isFiltered ? this.nothing() : this.none()));
    } else if (!isConnected) {
      this.timer = window.setTimeout(() => this.say('away', '', () => this.away()), PATIENCE);
    } else {
      this.say('', '', () => []);
    }
  }

  private say(kind: string, detail: string, content: () => Node[]): void {
    const shown = `${kind} ${detail}`;
    if (shown !== this.shown) {
      this.shown = shown;
      this.node.hidden = kind === '';
      this.node.className = `aml-Notice aml-mod-${kind || 'none'}`;
      this.node.replaceChildren(...(kind === '' ? [] : content()));
    }
  }

  private wrong({ message, problem }: ServerError): Node[] {
    return [title(message), text(problem.hint)];
  }

  private away(): Node[] {
    return [text(this.trans.__('Not connected; trying again …'))];
  }

  private nowhere(): Node[] {
    const { trans } = this;
    return [
      title(trans.__('No workspace yet')),
      text(trans.__('The first run makes one beside the notebook. In a cell:')),
      element('pre', {}, EXTENSION),
      text(trans.__('and in the next one:')),
      element('pre', {}, RUN)
    ];
  }

  private none(): Node[] {
    const { trans } = this;
    return [
      title(trans.__('No runs yet')),
      text(trans.__('Turn a cell into a run, and it shows up here at once:')),
      element('pre', {}, RUN)
    ];
  }

  private nothing(): Node[] {
    const { trans } = this;
    const button = element('button', { type: 'button' }, trans.__('Clear the filter'));
    button.onclick = () => this.clearFilter();
    return [title(trans.__('No run matches')), button];
  }
}

function title(words: string): HTMLElement {
  return element('strong', {}, words);
}

function text(words: string): HTMLElement {
  return element('p', {}, words);
}
