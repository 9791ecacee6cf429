import { element } from '../dom';
import { duration, remaining, ticking } from '../format';
import type { Progress, RunHead } from '../protocol';
import { hasEnded, signOf } from '../states';
import { AskingButton } from './asking';
import { CandidateList } from './candidates';
import { button, copyButton, copyText, every, look, setShown, setText } from './controls';
import type { Notices } from './notices';
import { openNotebook } from './open_notebook';
import type { Session } from './session';
import { TimeLine } from './time_line';
import { trans } from './words';

/** Name, state and progress of the runs that are shown, and what can be done with them. */
export class Head {
  readonly node = element('section', { class: 'aml-v-head aml-v-part' });
  private readonly list = element('div', { class: 'aml-v-runs' });
  private readonly actions = element('div', {
    ...{ class: 'aml-v-actions', role: 'group', 'aria-label': trans.__('Actions') }
  });
  private readonly cancel: AskingButton;
  private readonly again: AskingButton;
  private readonly resume: AskingButton;
  private readonly notebook: HTMLButtonElement;
  private readonly back: AskingButton;
  private readonly candidates: CandidateList;
  private rows: RunRow[] = [];

  constructor(
    private readonly session: Session,
    private readonly notices: Notices,
    signal: AbortSignal
  ) {
    const asking = (words: string, kind: 'cancel' | 'rerun' | 'resume' | 'back'): AskingButton =>
      new AskingButton(words, () => ({ kind }), session, notices, signal);
    this.cancel = asking(trans.__('Cancel'), 'cancel');
    this.back = asking(trans.__('← back'), 'back');
    this.back.node.classList.add('aml-v-back');
    this.candidates = new CandidateList(session, notices, signal);
    this.again = asking(trans.__('Run again'), 'rerun');
    this.resume = asking(trans.__('Go on with the rest'), 'resume');
    this.resume.node.title = trans.__('Execute the notebooks that have not completed, in a new batch');
    this.notebook = button(trans.__('Open notebook'), () => this.openNotebook());
    this.notebook.title = trans.__('Show the executed notebook, as far as it has come');
    const others = [this.cancel, this.resume, this.again, this.candidates, this.folder(signal)];
    this.actions.append(this.notebook, ...others.map(one => one.node));
    this.node.append(this.back.node, this.list, this.actions, this.candidates.panel);
    session.onChange('runs', () => this.update(), signal);
    session.onChange('backs', () => this.update(), signal);
    every(1000, () => this.tick(), signal);
    this.update();
  }

  private folder(signal: AbortSignal): AskingButton {
    const asking: AskingButton = new AskingButton(
      trans.__('Folder'),
      () => ({ kind: 'folder' }),
      this.session,
      this.notices,
      signal
    );
    asking.node.title = trans.__('Show the folder of the run, and copy its path');
    asking.onAnswer = told => {
      if (told.said !== undefined && told.bad !== true) {
        void this.copyPath(told.said);
      }
    };
    return asking;
  }

  private async copyPath(path: string): Promise<void> {
    if (await copyText(path)) {
      this.notices.say(trans.__('%1 (copied)', path));
    }
  }

  private update(): void {
    const runs = this.session.get('runs');
    if (runs.map(run => run.id).join() !== this.rows.map(row => row.id).join()) {
      this.rows = runs.map(run => new RunRow(run.id, runs.length > 1));
      this.list.replaceChildren(...this.rows.map(row => row.node));
      // Beside the name of a run alone, but those of several stand below each other.
      const [first] = this.rows;
      if (this.rows.length === 1 && first !== undefined) {
        first.title.append(this.actions);
      } else {
        this.list.after(this.actions);
      }
    }
    const now = this.now();
    this.rows.forEach((row, index) => {
      const run = runs[index];
      if (run !== undefined) {
        row.update(run, now);
      }
    });
    this.node.setAttribute('aria-label', trans.__('Run %1', runs[0]?.name ?? ''));
    this.list.classList.toggle('aml-v-several', runs.length > 1);
    this.updateActions(runs);
    this.updateBack();
  }

  private updateActions(runs: readonly RunHead[]): void {
    const [first] = runs;
    const isAlone = runs.length === 1;
    const isBatch = first?.batch === true;
    setShown(this.cancel.node, runs.some(canBeCancelled));
    setShown(this.resume.node, isAlone && isBatch && canGoOn(first));
    setShown(this.again.node, !isBatch);
    setShown(this.candidates.node, !isBatch);
    setShown(this.notebook, isAlone && first !== undefined && first.notebook !== '');
  }

  private openNotebook(): void {
    const { run } = this.session;
    if (run !== undefined) {
      const notebook = { run: run.id, path: run.notebook, title: run.name };
      void openNotebook(this.session, this.notices, notebook);
    }
  }

  private updateBack(): void {
    const backs = this.session.get('backs');
    const last = backs[backs.length - 1];
    setShown(this.back.node, last !== undefined);
    setText(this.back.node, trans.__('← back to %1', last ?? ''));
  }

  private tick(): void {
    const now = this.now();
    this.rows.forEach(row => row.tick(now));
  }

  /** The kernel's clock: what it was when it wrote, and how long ago that came here. */
  private now(): number {
    const passed = (performance.now() - this.session.runsCame) / 1000;
    return (this.session.run?.now ?? 0) + passed;
  }
}

function canBeCancelled(run: RunHead): boolean {
  return !hasEnded(run.status) && run.status !== 'CancelRequested';
}

/** Whether a batch has ended before all was done. */
function canGoOn(run: RunHead): boolean {
  return hasEnded(run.status) && run.status !== 'Completed';
}

/** One run in the head. */
class RunRow {
  readonly node = element('div', { class: 'aml-v-run' });
  readonly title = element('div', { class: 'aml-v-title' });
  private readonly state = element('span', { class: 'aml-v-state' });
  private readonly label = element('span', { role: 'status', 'aria-live': 'polite' });
  private readonly name = element('span', {
    ...{ class: 'aml-v-name', role: 'heading', 'aria-level': '3' }
  });
  private readonly elapsed = element('span', { class: 'aml-v-elapsed' });
  private readonly dot = element('span', { class: 'aml-v-dot', 'aria-hidden': 'true' });
  private readonly facts: Facts;
  private readonly progress = new ProgressLine();
  private readonly timeLine = new TimeLine();
  private readonly error = element('pre', {
    ...{ class: 'aml-v-error', role: 'group', 'aria-label': trans.__('Error') }
  });
  private readonly note = element('p', { class: 'aml-v-note' });
  private run: RunHead | null = null;

  constructor(readonly id: string, private readonly isOneOfSeveral: boolean) {
    this.facts = new Facts(id);
    this.title.append(this.dot, this.state, this.name, this.elapsed);
    this.node.append(
      this.title,
      this.facts.node,
      this.progress.node,
      this.timeLine.node,
      this.error,
      this.note
    );
  }

  update(run: RunHead, now: number): void {
    if (run.status !== this.run?.status) {
      const seen = look(run.status);
      this.state.className = `aml-v-state aml-v-${seen.tone}`;
      this.state.replaceChildren(signOf(seen), this.label);
      setText(this.label, seen.label);
    }
    this.run = run;
    setText(this.name, run.name || run.id);
    this.dot.style.backgroundColor = run.colour;
    setShown(this.dot, this.isOneOfSeveral);
    this.facts.update(run);
    setText(this.error, run.error);
    setShown(this.error, run.error !== '');
    setText(this.note, run.note);
    setShown(this.note, run.note !== '');
    this.timeLine.update(run, now);
    this.tick(now);
  }

  tick(now: number): void {
    const { run } = this;
    if (run === null) {
      return;
    }
    setText(this.elapsed, elapsed(run, now));
    this.progress.update(hasEnded(run.status) ? null : run.progress, now - run.now);
    if (run.ended === null) {
      this.timeLine.grow(now);
    }
  }
}

function elapsed(run: RunHead, now: number): string {
  if (run.started === null) {
    return '';
  }
  return run.ended === null
    ? ticking(now - run.started)
    : duration(Math.max(0, run.ended - run.started));
}

/** Id, experiment, target and environment of a run. */
class Facts {
  readonly node = element('dl', { class: 'aml-v-facts' });
  private readonly values = new Map<string, HTMLElement>();

  constructor(id: string) {
    const code = element('code', { class: 'aml-v-id' }, id);
    this.add(trans.__('Id'), code, copyButton(trans.__('Copy'), trans.__('Copy id'), () => id));
    this.values.set('experiment', this.add(trans.__('Experiment')));
    this.values.set('target', this.add(trans.__('Target')));
    this.values.set('environment', this.add(trans.__('Environment')));
  }

  update(run: RunHead): void {
    this.set('experiment', run.experiment);
    this.set('target', run.target);
    this.set('environment', run.environment);
  }

  private add(name: string, ...inside: readonly Node[]): HTMLElement {
    const value = element('dd', {}, ...inside);
    this.node.append(element('div', {}, element('dt', {}, name), value));
    return value;
  }

  private set(name: string, text: string): void {
    const value = this.values.get(name);
    if (value?.parentElement) {
      setText(value, text);
      setShown(value.parentElement, text !== '');
    }
  }
}

/** How far a run is, in words and as a bar. */
class ProgressLine {
  readonly node = element('div', { class: 'aml-v-progress', hidden: '' });
  private readonly text = element('span', { class: 'aml-v-progress-text' });
  private readonly left = element('span', { class: 'aml-v-muted' });
  private readonly filled = element('div', {});
  private readonly bar = element(
    'div',
    { class: 'aml-v-bar', role: 'progressbar', 'aria-label': trans.__('Progress'), 'aria-valuemax': '100' },
    this.filled
  );

  constructor() {
    const words = element('div', { class: 'aml-v-progress-words' }, this.text, this.left);
    this.node.append(this.bar, words);
  }

  update(progress: Progress | null, passed: number): void {
    setShown(this.node, progress !== null);
    if (progress === null) {
      return;
    }
    const { done, left } = progress;
    const percent = done === null ? null : Math.round(100 * Math.min(1, Math.max(0, done)));
    setShown(this.bar, percent !== null);
    this.bar.setAttribute('aria-valuenow', String(percent ?? 0));
    this.filled.style.width = `${percent ?? 0}%`;
    setText(this.text, progress.text || (percent === null ? '' : `${percent} %`));
    setText(this.left, left === null ? '' : trans.__('%1 left', remaining(Math.max(0, left - passed))));
  }
}
