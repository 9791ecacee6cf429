import type { SourceDiff, SourceText, SourceTree } from '../api';
import { DiffView } from '../diff';
import { element } from '../dom';
import { bytes, count } from '../format';
import { hasEnded } from '../states';
import { pathOf, type IRunService } from '../tokens';
import { button, choice, copyButton, fillChoice, setShown, setText } from '../view/controls';
import { words } from '../view/download';
import type { Part } from '../view/part';
import type { Session } from '../view/session';
import { trans, waiting } from '../view/words';

const SOURCE = '';
const OTHER = '*';
const MOST_LINES = 20_000;

/** The source that a run was started from, as files or as what differs from another run's. */
export class CodeView implements Part {
  readonly node = element('div', { class: 'aml-Code' });
  private readonly what: HTMLSelectElement;
  private readonly other = element('input', {
    ...{ class: 'aml-v-input', type: 'text', autocomplete: 'off', spellcheck: 'false' },
    ...{ 'aria-label': trans.__('Id of the other run'), placeholder: trans.__('Id of the other run') }
  });
  private readonly compare: HTMLButtonElement;
  private readonly said = element('p', { class: 'aml-v-muted', role: 'status' });
  private readonly files = element('div', { class: 'aml-Code-files' });
  private readonly list = element('div', {
    ...{ class: 'aml-Code-list', role: 'group', 'aria-label': trans.__('Files') }
  });
  private readonly text = element('section', {
    ...{ class: 'aml-Code-text', 'aria-label': trans.__('Source'), 'aria-live': 'off' }
  });
  private readonly difference = element('div', { class: 'aml-Code-difference' });
  private readonly diff = new DiffView(trans);
  private readonly environment = element('details', { class: 'aml-v-text-box' });
  private asking = new AbortController();
  private known: SourceTree | null = null;
  private wasFinal = false;

  constructor(
    private readonly session: Session,
    private readonly service: IRunService,
    private readonly place: string,
    private readonly run: string,
    signal: AbortSignal
  ) {
    this.what = choice(trans.__('What is shown'), [], () => this.show());
    this.compare = button(trans.__('Compare'), () => this.compareWith(this.other.value.trim()));
    this.other.addEventListener('keydown', event => {
      event.stopPropagation();
      if (event.key === 'Enter') {
        this.compareWith(this.other.value.trim());
      }
    });
    this.difference.append(this.diff.node, this.environment);
    this.files.append(this.list, this.text);
    const bar = element('div', { class: 'aml-v-bar-row' }, this.what, this.other, this.compare);
    this.node.append(bar, this.said, this.files, this.difference);
    signal.addEventListener('abort', () => this.asking.abort());
  }

  open(): void {
    const { run } = this.session;
    const isFinal = run !== undefined && hasEnded(run.status);
    // The source of a run never changes; only the runs to compare with do.
    if (this.known === null || !this.wasFinal) {
      this.wasFinal = isFinal;
      void this.load();
    }
  }

  refresh(): void {
    // The source of a run never changes.
  }

  private async load(): Promise<void> {
    if (this.known === null) {
      this.say(waiting());
    }
    try {
      const tree = await this.ask<SourceTree>('source', this.run);
      const isFirst = this.known === null;
      this.known = tree;
      this.offer(tree);
      if (isFirst) {
        this.list.replaceChildren(...tree.files.map(({ path, size }) => this.file(path, size)));
        this.show();
      }
    } catch (error) {
      this.complain(error);
    }
  }

  private ask<Answer>(...parts: readonly string[]): Promise<Answer> {
    const [kind = '', ...rest] = parts;
    const path = `${kind}/${pathOf(this.place, ...rest)}`;
    return this.service.get<Answer>(path, {}, this.asking.signal);
  }

  private offer(tree: SourceTree): void {
    const kin = (name: string, is: string): string => {
      switch (is) {
        case 'origin':
          return trans.__('Changes from %1, which it repeats', name);
        case 'parent':
          return trans.__('Changes from its parent %1', name);
        default:
          return trans.__('Changes from the earlier run %1', name);
      }
    };
    fillChoice(this.what, [
      [SOURCE, trans.__('Source of this run')],
      ...tree.relatives.map(one => [one.id, kin(one.name, one.kin)] as const),
      [OTHER, trans.__('Changes from another run…')]
    ]);
  }

  private show(): void {
    const what = this.what.value;
    setShown(this.other, what === OTHER);
    setShown(this.compare, what === OTHER);
    setShown(this.files, what === SOURCE);
    setShown(this.difference, false);
    this.forget();
    if (what === SOURCE) {
      this.showSource();
    } else if (what === OTHER) {
      this.say('');
      this.other.focus();
    } else {
      this.compareWith(what);
    }
  }

  private showSource(): void {
    const { files = [], more = 0, script = '' } = this.known ?? {};
    setShown(this.files, files.length > 0);
    this.say(
      files.length === 0
        ? trans.__('This run has no source: it was not started from files.')
        : more > 0
          ? trans.__('%1 more files are not listed.', count(more))
          : ''
    );
    const first = script || files[0]?.path;
    if (first !== undefined && this.text.childElementCount === 0) {
      void this.choose(first);
    }
  }

  private file(path: string, size: number): HTMLElement {
    const made = element(
      'button',
      { type: 'button', class: 'aml-v-choice aml-v-file', 'data-path': path, title: path },
      element('span', { class: 'aml-v-name' }, path),
      element('span', { class: 'aml-v-muted aml-v-number' }, bytes(size))
    );
    made.setAttribute('aria-pressed', 'false');
    made.addEventListener('click', () => void this.choose(path));
    return made;
  }

  private async choose(path: string): Promise<void> {
    this.forget();
    for (const node of this.list.querySelectorAll<HTMLElement>('[data-path]')) {
      node.setAttribute('aria-pressed', String(node.dataset.path === path));
    }
    this.text.replaceChildren(element('p', { class: 'aml-v-muted' }, waiting()));
    try {
      const found = await this.ask<SourceText>('source', this.run, path);
      this.text.replaceChildren(...textOf(found));
    } catch (error) {
      if (!this.asking.signal.aborted) {
        this.text.replaceChildren(element('p', { class: 'aml-v-muted' }, words(error)));
      }
    }
  }

  private compareWith(run: string): void {
    if (run === '') {
      this.other.focus();
      return;
    }
    void this.compareSoon(run);
  }

  private async compareSoon(run: string): Promise<void> {
    this.forget();
    this.say(waiting());
    const { signal } = this.asking;
    try {
      const path = `diff/${pathOf(this.place, this.run)}`;
      const found = await this.service.get<SourceDiff>(path, { with: run }, signal);
      this.say('');
      this.diff.show(found);
      this.showEnvironment(found.environment);
      setShown(this.difference, true);
    } catch (error) {
      if (!signal.aborted) {
        this.complain(error);
      }
    }
  }

  private showEnvironment(text: string): void {
    const title = element('summary', {}, trans.__('What differs in the environments'));
    const lines = text.split('\n').map(line => {
      const kind = { '+': 'aml-v-added', '-': 'aml-v-removed', '@': 'aml-v-hunk' }[line[0] ?? ''];
      return element('span', { class: `aml-v-diff ${kind ?? ''}`.trim() }, `${line}\n`);
    });
    const box = element('pre', { class: 'aml-v-text', tabindex: '0' }, ...lines);
    this.environment.replaceChildren(title, box);
    setShown(this.environment, text !== '');
  }

  private forget(): void {
    this.asking.abort();
    this.asking = new AbortController();
  }

  private complain(error: unknown): void {
    this.say(words(error));
    setShown(this.difference, false);
  }

  private say(text: string): void {
    setText(this.said, text);
    setShown(this.said, text !== '');
  }
}

/** A text with its lines numbered, or why there is none. */
function textOf({ path, text, note }: SourceText): HTMLElement[] {
  const copy = copyButton(trans.__('Copy'), trans.__('Copy %1', path), () => text);
  const head = element(
    'div',
    { class: 'aml-v-bar-row' },
    element('strong', { class: 'aml-v-name' }, path),
    element('span', { class: 'aml-v-spring' }),
    copy
  );
  const lines = text.replace(/\n$/, '').split('\n');
  const shown = lines.slice(0, MOST_LINES);
  const numbers = shown.map((_, index) => index + 1).join('\n');
  const box = element(
    'div',
    { class: 'aml-Code-box', tabindex: '0' },
    element('pre', { class: 'aml-Code-numbers', 'aria-hidden': 'true' }, numbers),
    element('pre', { class: 'aml-Code-lines' }, shown.join('\n'))
  );
  const cut = shown.length < lines.length ? trans.__('The rest is not shown.') : note;
  const said = element('p', { class: 'aml-v-muted' }, cut);
  setShown(said, cut !== '');
  setShown(copy, text !== '');
  setShown(box, text !== '' || note === '');
  return [head, said, box];
}
