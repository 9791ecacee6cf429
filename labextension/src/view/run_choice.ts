import { element } from '../dom';
import { count } from '../format';
import type { ChildRow } from '../protocol';
import { hasEnded } from '../states';
import { button, look, setPressed, setShown, setText, signButton } from './controls';
import { trans } from './words';

const PAGE = 100;
const ALL = 'All';
const WAITING: ReadonlySet<string> = new Set(['NotStarted', 'Queued']);

/** Which rows of a long table are shown: those in one state, a page at a time. */
export class RunChoice {
  readonly states = element('div', {
    ...{ class: 'aml-v-bar-row aml-v-states', role: 'group', 'aria-label': trans.__('State') }
  });
  readonly pages = element('div', {
    ...{ class: 'aml-v-bar-row', role: 'group', 'aria-label': trans.__('Page') }
  });
  private readonly place = element('span', { class: 'aml-v-number', role: 'status' });
  private readonly before: HTMLButtonElement;
  private readonly after: HTMLButtonElement;
  private readonly buttons = new Map<string, HTMLButtonElement>();
  private chosen = ALL;
  private first = 0;
  private isPlaced = false;

  constructor(private readonly onChange: () => void) {
    this.before = signButton('‹', trans.__('Previous page'), () => this.turn(-PAGE));
    this.after = signButton('›', trans.__('Next page'), () => this.turn(PAGE));
    this.pages.append(this.before, this.place, this.after);
  }

  /** Forget what was chosen. */
  reset(): void {
    this.chosen = ALL;
    this.first = 0;
    this.isPlaced = false;
  }

  /** Offer the states that there are. */
  offer(rows: readonly ChildRow[]): void {
    const counts = new Map<string, number>([[ALL, rows.length]]);
    for (const row of rows) {
      const name = stateOf(row.status);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    for (const name of [ALL, 'Running', 'Waiting', 'Failed', 'Completed', 'Canceled']) {
      const made = this.buttons.get(name) ?? this.made(name);
      const number = counts.get(name) ?? 0;
      setText(made, `${wordOf(name)} ${count(number)}`);
      setPressed(made, name === this.chosen);
      setShown(made, number > 0 || name === this.chosen);
    }
  }

  /** The rows in the state that was chosen. */
  fitting(rows: readonly ChildRow[]): readonly ChildRow[] {
    return this.chosen === ALL ? rows : rows.filter(row => stateOf(row.status) === this.chosen);
  }

  /** The page of them that is open; until one is chosen, the one where something goes on. */
  page(rows: readonly ChildRow[], isSorted: boolean): readonly ChildRow[] {
    if (!this.isPlaced) {
      const live = isSorted ? -1 : rows.findIndex(row => !hasEnded(row.status));
      this.first = Math.max(0, live);
    }
    const last = Math.max(0, rows.length - 1);
    this.first = Math.floor(Math.min(this.first, last) / PAGE) * PAGE;
    const end = Math.min(rows.length, this.first + PAGE);
    setShown(this.pages, rows.length > PAGE);
    setText(this.place, trans.__('%1 to %2 of %3', count(this.first + 1), count(end), count(rows.length)));
    this.before.disabled = this.first === 0;
    this.after.disabled = end === rows.length;
    return rows.slice(this.first, end);
  }

  private made(name: string): HTMLButtonElement {
    const made = button(name, () => {
      this.chosen = name;
      this.first = 0;
      this.isPlaced = name !== ALL;
      this.onChange();
    });
    this.buttons.set(name, made);
    this.states.append(made);
    return made;
  }

  private turn(by: number): void {
    this.first += by;
    this.isPlaced = true;
    this.onChange();
  }
}

function wordOf(name: string): string {
  return name === ALL ? trans.__('All') : name === 'Waiting' ? trans.__('Waiting') : look(name).label;
}

function stateOf(status: string): string {
  if (WAITING.has(status)) {
    return 'Waiting';
  }
  return hasEnded(status) ? status : 'Running';
}
