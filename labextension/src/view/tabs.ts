import { element } from '../dom';
import { newId, setText } from './controls';
import type { Session } from './session';
import { trans } from './words';

const KNOWN: ReadonlySet<string> = new Set([
  ...['error', 'overview', 'log', 'system', 'files', 'code', 'facts', 'children', 'compare']
]);

function labelOf(tab: string, isBatch: boolean): string {
  switch (tab) {
    case 'error':
      return trans.__('Error');
    case 'overview':
      // A batch has no log of its own beside its charts.
      return isBatch ? trans.__('Charts') : trans.__('Overview');
    case 'log':
      return trans.__('Log');
    case 'system':
      return trans.__('System');
    case 'files':
      return trans.__('Files');
    case 'code':
      return trans.__('Code');
    case 'facts':
      return trans.__('Facts');
    case 'children':
      return isBatch ? trans.__('Notebooks') : trans.__('Runs');
    default:
      return trans.__('Compare');
  }
}

/** The tab that is open; the first one where the remembered one is not there. */
export function openTab(session: Session): string {
  const tab = session.get('tab');
  const tabs = session.get('tabs');
  return tabs.includes(tab) && KNOWN.has(tab) ? tab : tabs[0] ?? 'overview';
}

/** The row of tabs; arrow keys go along it. */
export class Tabs {
  readonly node = element('div', {
    ...{ class: 'aml-v-tabs aml-v-part', role: 'tablist', 'aria-label': trans.__('Parts of the run') }
  });
  private readonly buttons = new Map<string, HTMLButtonElement>();

  constructor(
    private readonly session: Session,
    private readonly body: HTMLElement,
    signal: AbortSignal
  ) {
    this.body.id = newId();
    this.body.setAttribute('role', 'tabpanel');
    this.node.addEventListener('keydown', event => this.onKey(event));
    session.onChange('tabs', () => this.update(), signal);
    session.onChange('tab', () => this.update(), signal);
    session.onOtherRun(() => this.update(), signal);
    this.update();
  }

  private update(): void {
    const names = this.session.get('tabs').filter(name => KNOWN.has(name));
    if (names.join() !== [...this.buttons.keys()].join()) {
      this.buttons.clear();
      names.forEach(name => this.buttons.set(name, this.tab(name)));
      this.node.replaceChildren(...this.buttons.values());
    }
    const open = openTab(this.session);
    const isBatch = this.session.run?.batch === true;
    for (const [name, made] of this.buttons) {
      setText(made, labelOf(name, isBatch));
      made.setAttribute('aria-selected', String(name === open));
      made.tabIndex = name === open ? 0 : -1;
    }
    this.body.setAttribute('aria-labelledby', this.buttons.get(open)?.id ?? '');
  }

  private tab(name: string): HTMLButtonElement {
    const made = element(
      'button',
      {
        ...{ type: 'button', role: 'tab', class: 'aml-v-tab' },
        ...{ 'aria-controls': this.body.id, id: newId() }
      }
    );
    made.addEventListener('click', () => this.session.set('tab', name));
    return made;
  }

  private onKey(event: KeyboardEvent): void {
    const names = [...this.buttons.keys()];
    const at = names.indexOf(openTab(this.session));
    const wanted = {
      ArrowRight: (at + 1) % names.length,
      ArrowLeft: (at - 1 + names.length) % names.length,
      Home: 0,
      End: names.length - 1
    }[event.key];
    const name = wanted === undefined ? undefined : names[wanted];
    if (name !== undefined) {
      event.preventDefault();
      this.session.set('tab', name);
      this.buttons.get(name)?.focus();
    }
  }
}
