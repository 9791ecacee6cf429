import { element } from '../dom';
import { hasEnded } from '../states';
import { CompareView } from './compare_view';
import { every, setShown } from './controls';
import { FactsView } from './facts_view';
import { FailureView } from './failure_view';
import { FilesView } from './files_view';
import { LogView } from './log_view';
import type { Notices } from './notices';
import type { Part } from './part';
import { RunsView } from './runs_view';
import type { Session } from './session';
import { SystemView } from './system_view';
import { openTab } from './tabs';

const REFRESH = 5000;
const WITH_LOG: ReadonlySet<string> = new Set(['overview', 'log']);

/** Parts of tabs that only some pages have. */
export type MoreParts = Readonly<Record<string, (signal: AbortSignal) => Part>>;

/** What is below the tabs; a tab's part is made when it is opened first. */
export class Body {
  readonly node = element('div', { class: 'aml-v-body aml-v-part' });
  private readonly parts = new Map<string, Part>();
  private readonly log: LogView;
  private opened = '';

  constructor(
    private readonly session: Session,
    private readonly notices: Notices,
    private readonly signal: AbortSignal,
    private readonly more: MoreParts = {}
  ) {
    this.log = new LogView(session, notices, signal);
    this.node.append(this.log.node);
    session.onChange('tab', () => this.update(), signal);
    session.onChange('tabs', () => this.update(), signal);
    session.onOtherRun(() => this.parts.get(this.opened)?.open(), signal);
    every(REFRESH, () => this.refresh(), signal);
  }

  /** Show what belongs to the tab that is open. */
  update(): void {
    const tab = openTab(this.session);
    // A batch has a log only where something was built for it.
    const hasLog = WITH_LOG.has(tab) && this.session.get('tabs').includes('log');
    setShown(this.log.node, hasLog);
    this.log.setOpen(hasLog);
    if (tab === this.opened) {
      return;
    }
    this.opened = tab;
    this.node.dataset.tab = tab;
    const open = this.part(tab);
    this.parts.forEach(part => setShown(part.node, part === open));
    open?.open();
  }

  private part(tab: string): Part | undefined {
    const known = this.parts.get(tab);
    if (known !== undefined) {
      return known;
    }
    const made = this.make(tab);
    if (made !== undefined) {
      this.parts.set(tab, made);
      this.node.append(made.node);
    }
    return made;
  }

  private make(tab: string): Part | undefined {
    const { session, notices, signal } = this;
    switch (tab) {
      case 'error':
        return new FailureView(session, notices, signal);
      case 'system':
        return new SystemView(session, signal);
      case 'files':
        return new FilesView(session, notices, signal);
      case 'facts':
        return new FactsView(session, notices, signal);
      case 'children':
        return new RunsView(session, notices, signal);
      case 'compare':
        return new CompareView(session, signal);
      default:
        return this.more[tab]?.(signal);
    }
  }

  private refresh(): void {
    const lives = this.session.get('runs').some(run => !hasEnded(run.status));
    if (lives && this.session.get('shown')) {
      this.parts.get(this.opened)?.refresh();
    }
  }
}
