import { element } from '../dom';
import type { FailureHint, FailurePlace, RunFailure } from '../protocol';
import { PLAIN } from './ansi';
import { button, copyButton, copyText, setShown, setText } from './controls';
import { lineNodes, openPlace, PLACE_CLASS, placeOf } from './log_text';
import type { Notices } from './notices';
import type { Part } from './part';
import { REVEAL_CELL_EVENT } from './reveal';
import type { Session } from './session';
import { trans, waiting } from './words';

/** Why a run failed: the exception, the line that it came from, what to try, the last words. */
export class FailureView implements Part {
  readonly node = element('div', { class: 'aml-v-failure' });
  private failure: RunFailure | null = null;
  private drawn = '';

  constructor(
    private readonly session: Session,
    private readonly notices: Notices,
    signal: AbortSignal
  ) {
    session.onTold('failure', told => told.failure && this.draw(told.failure), signal);
    session.onOtherRun(() => this.reset(), signal);
    this.node.addEventListener('click', event => this.onPlace(event));
    this.node.addEventListener('keydown', event => event.key === 'Enter' && this.onPlace(event));
  }

  open(): void {
    const known = this.session.answer('failure')?.failure;
    if (known !== undefined) {
      this.draw(known);
    } else {
      setText(this.node, waiting());
    }
    this.refresh();
  }

  refresh(): void {
    this.session.ask({ kind: 'failure' });
  }

  private reset(): void {
    this.failure = null;
    this.drawn = '';
    this.node.replaceChildren();
  }

  private draw(failure: RunFailure): void {
    const drawn = JSON.stringify(failure);
    if (drawn === this.drawn) {
      return;
    }
    this.drawn = drawn;
    this.failure = failure;
    this.node.replaceChildren(
      element(
        'section',
        { class: 'aml-v-failure-what', 'aria-label': trans.__('What went wrong') },
        element('strong', { class: 'aml-v-failure-kind' }, failure.kind || trans.__('It failed')),
        element('pre', { class: 'aml-v-failure-message', tabindex: '0' }, failure.message)
      ),
      ...[failure.place && placeBox(failure.place), this.hints(failure.hints)].filter(isThere),
      ...[this.trace(failure.trace), this.log(failure)].filter(isThere)
    );
  }

  private hints(hints: readonly FailureHint[]): HTMLElement | null {
    return hints.length === 0
      ? null
      : section(trans.__('What to try'), element('ul', { class: 'aml-v-hints' }, ...hints.map(hint)));
  }

  private trace(trace: string): HTMLElement | null {
    if (trace === '') {
      return null;
    }
    const lines = trace.replace(/\n$/, '').split('\n');
    const copy = copyButton(trans.__('Copy'), trans.__('Copy the traceback'), () => trace);
    const box = element('pre', { class: 'aml-v-text', tabindex: '0' });
    box.append(...lines.flatMap(line => [...lineNodes([{ text: line, style: PLAIN }], ''), '\n']));
    return section(trans.__('Traceback'), box, copy);
  }

  private log({ log, file }: RunFailure): HTMLElement | null {
    if (log.length === 0) {
      return null;
    }
    const box = element('pre', { class: 'aml-v-text aml-v-failure-log', tabindex: '0' });
    box.append(...log.flatMap(line => [...lineNodes([{ text: line, style: PLAIN }], ''), '\n']));
    const open = button(trans.__('Open the log'), () => this.openLog(file));
    window.requestAnimationFrame(() => (box.scrollTop = box.scrollHeight));
    return section(trans.__('The last lines of the log'), box, open);
  }

  private openLog(file: string): void {
    const { log } = this.session;
    if (log.files.includes(file) && file !== log.file) {
      this.session.ask({ kind: 'log', file });
    }
    this.session.set('tab', 'log');
  }

  private onPlace(event: Event): void {
    const target = event.target instanceof Element ? event.target : null;
    const node = target?.closest<HTMLElement>(`.${PLACE_CLASS}`);
    if (!node) {
      return;
    }
    const { path, line } = node.dataset;
    const known = this.failure?.place;
    if (known && path === known.path && (known.cell || known.number > 0)) {
      this.openCell(known, Number(line));
      return;
    }
    const place = placeOf(node, this.session.run);
    if (!openPlace(place)) {
      void this.copyPlace(`${place.path}:${place.line}`);
    }
  }

  private openCell(place: FailurePlace, line: number): void {
    const { run } = this.session;
    const detail = { run: run?.id ?? '', line, number: place.number };
    const event = new CustomEvent(REVEAL_CELL_EVENT, { detail, cancelable: true, bubbles: true });
    if (this.node.dispatchEvent(event)) {
      void this.copyPlace(`${place.path}:${line}`);
    }
  }

  private async copyPlace(place: string): Promise<void> {
    this.notices.say((await copyText(place)) ? trans.__('%1 (copied)', place) : place);
  }
}

function isThere(node: HTMLElement | null): node is HTMLElement {
  return node !== null;
}

function section(title: string, content: HTMLElement, control?: HTMLElement): HTMLElement {
  return element(
    'section',
    { class: 'aml-v-failure-part', 'aria-label': title },
    element(
      'div',
      { class: 'aml-v-bar-row' },
      element('strong', {}, title),
      element('span', { class: 'aml-v-spring' }),
      control ?? null
    ),
    content
  );
}

function hint({ text, code }: FailureHint): HTMLElement {
  const copy = copyButton(trans.__('Copy'), trans.__('Copy %1', code), () => code);
  const line = element('div', { class: 'aml-v-hint-code' }, element('code', {}, code), copy);
  setShown(line, code !== '');
  return element('li', {}, element('p', {}, text), line);
}

/** The lines around the one that failed, which leads to where it stands. */
function placeBox(place: FailurePlace): HTMLElement {
  const name = place.path.split('/').pop() ?? place.path;
  const where =
    place.number > 0
      ? trans.__('Cell %1, line %2', place.number, place.line)
      : place.cell
        ? trans.__('The cell, line %1', place.line)
        : trans.__('%1, line %2', name, place.line);
  const link = element(
    'span',
    {
      ...{ class: `${PLACE_CLASS} aml-v-failure-place`, role: 'link', tabindex: '0' },
      ...{ 'data-path': place.path, 'data-line': String(place.line), title: place.path }
    },
    where
  );
  const lines = place.lines.map((text, index) => sourceLine(text, place.first + index, place));
  const code = element('pre', { class: 'aml-v-text aml-v-source', tabindex: '0' }, ...lines);
  setShown(code, lines.length > 0);
  return element(
    'section',
    { class: 'aml-v-failure-part', 'aria-label': trans.__('Where it failed') },
    element('div', { class: 'aml-v-bar-row' }, link),
    code
  );
}

function sourceLine(text: string, number: number, place: FailurePlace): HTMLElement {
  const made = element(
    'span',
    { class: 'aml-v-source-line' },
    element('span', { class: 'aml-v-source-number', 'data-number': String(number) }),
    `${text}\n`
  );
  if (number === place.line) {
    made.classList.add('aml-v-source-now');
    made.setAttribute('aria-current', 'true');
  }
  return made;
}
