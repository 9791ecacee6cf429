import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type { RunList, RunRow } from '../api';
import { element } from '../dom';
import { count, number } from '../format';
import { lookOf, signOf } from '../states';
import { ServerError, type IRunService } from '../tokens';
import { askTyped } from '../typed';
import { debounced, newId, searchField } from '../view/controls';
import { MOST } from './model';

const PAUSE = 150;
const PAGE = 60;
const FEW_METRICS = 3;

/** Let the reader choose runs of a place; undefined where nothing was chosen. */
export async function pickRuns(
  service: IRunService,
  place: string,
  known: readonly string[],
  trans: TranslationBundle
): Promise<readonly string[] | undefined> {
  const body = new RunPicker(service, place, known, trans);
  const title = known.length > 0 ? trans.__('Add runs to the comparison') : trans.__('Compare runs');
  const accept = known.length > 0 ? trans.__('Add') : trans.__('Compare');
  const { button } = await showDialog({
    title,
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.okButton({ label: accept })
    ]
  });
  return button.accept && body.picked.length > 0 ? body.picked : undefined;
}

/** The ids of all runs that a filter matches, newest first, up to as many as a page compares. */
export async function matching(
  service: IRunService,
  place: string,
  filter: string
): Promise<{ readonly ids: readonly string[]; readonly total: number }> {
  const ids: string[] = [];
  let total = 0;
  do {
    const query = { place, filter, offset: ids.length, limit: MOST - ids.length };
    const found = await service.get<RunList>('runs', query);
    total = found.total;
    ids.push(...found.rows.map(row => row.id));
    if (found.rows.length === 0) {
      break;
    }
  } while (ids.length < Math.min(total, MOST));
  return { ids, total };
}

/** A list of runs to choose from, cut down by a filter line. */
class RunPicker extends Widget {
  private readonly chosen = new Set<string>();
  private readonly list = element('ul', { class: 'aml-Compare-choices' });
  private readonly status = element('p', { class: 'aml-Compare-note', role: 'status' });
  private readonly problem = element('p', { class: 'aml-Compare-problem', role: 'alert' });
  private readonly all = element('button', { type: 'button', class: 'aml-v-button' });
  private readonly field: HTMLInputElement;
  private readonly ended = new AbortController();
  private asked = 0;
  private filter = '';

  constructor(
    private readonly service: IRunService,
    private readonly place: string,
    private readonly known: readonly string[],
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('aml-Compare-picker');
    const later = debounced((text: string) => void this.ask(text), PAUSE, this.ended.signal);
    this.field = searchField(trans.__('Filter runs'), later);
    this.field.title = trans.__('Such as: state:completed tag:best metric.loss<0.2 since:7d text');
    this.field.placeholder = 'state:completed metric.loss<0.2 since:7d';
    this.all.addEventListener('click', () => void this.chooseAll());
    this.list.setAttribute('aria-label', trans.__('Runs'));
    const parts = [this.field, this.problem, this.list, this.status, this.all];
    this.node.append(element('div', { class: 'aml-v-panel' }, ...parts));
    void this.ask('');
  }

  get picked(): readonly string[] {
    return [...this.chosen];
  }

  override dispose(): void {
    this.ended.abort();
    super.dispose();
  }

  protected override onAfterAttach(): void {
    requestAnimationFrame(() => this.field.focus());
  }

  private async ask(filter: string): Promise<void> {
    const nth = ++this.asked;
    try {
      const query = { place: this.place, filter, offset: 0, limit: PAGE };
      const found = await askTyped<RunList>(this.service, 'runs', query, this.ended.signal);
      if (nth === this.asked && !this.isDisposed) {
        this.filter = filter;
        this.fill(found);
      }
    } catch (error) {
      if (nth === this.asked && !this.isDisposed) {
        this.complain(error);
      }
    }
  }

  private complain(error: unknown): void {
    const { message, hint } = error instanceof ServerError ? error.problem : { message: String(error), hint: '' };
    this.problem.textContent = `${message} ${hint}`.trim();
  }

  private fill({ rows, total }: RunList): void {
    const { trans } = this;
    this.problem.textContent = '';
    this.list.replaceChildren(...rows.map(row => this.choiceOf(row)));
    this.all.hidden = total <= rows.length && rows.length < 2;
    this.all.textContent =
      total > MOST
        ? trans.__('Choose the newest %1', count(MOST))
        : trans.__('Choose all %1', count(total));
    this.tell(total, rows.length);
  }

  private tell(total: number, listed: number): void {
    const { trans } = this;
    const found =
      total === 0
        ? trans.__('No run matches.')
        : listed < total
          ? trans.__('The newest %1 of %2 runs that match.', count(listed), count(total))
          : trans._n('%1 run matches.', '%1 runs match.', total, count(total));
    const chosen = this.chosen.size > 0 ? trans.__('%1 chosen.', count(this.chosen.size)) : '';
    this.status.textContent = `${found} ${chosen}`.trim();
    this.status.dataset.total = String(total);
    this.status.dataset.listed = String(listed);
  }

  private choiceOf(row: RunRow): HTMLElement {
    const look = lookOf(row.status, this.trans);
    const isKnown = this.known.includes(row.id);
    const box = element('input', { type: 'checkbox', id: newId() });
    box.checked = isKnown || this.chosen.has(row.id);
    box.disabled = isKnown;
    box.addEventListener('change', () => this.choose(row.id, box.checked));
    const state = element('span', { class: `aml-Compare-state aml-mod-${look.tone}`, title: look.label }, signOf(look));
    const metrics = Object.entries(row.metrics).slice(0, FEW_METRICS);
    const about = [row.experiment, ...metrics.map(([name, value]) => `${name} ${number(value)}`)];
    const words = element(
      'label',
      { for: box.id },
      element('span', { class: 'aml-Compare-name' }, row.name),
      element('span', { class: 'aml-Compare-note' }, about.join(' · '))
    );
    return element('li', {}, box, state, words);
  }

  private choose(id: string, wanted: boolean): void {
    if (wanted && this.chosen.size + this.known.length < MOST) {
      this.chosen.add(id);
    } else {
      this.chosen.delete(id);
    }
    const { total, listed } = this.status.dataset;
    this.tell(Number(total), Number(listed));
  }

  private async chooseAll(): Promise<void> {
    try {
      const { ids } = await matching(this.service, this.place, this.filter);
      const room = MOST - this.known.length;
      ids.filter(id => !this.known.includes(id)).slice(0, room).forEach(id => this.chosen.add(id));
      await this.ask(this.filter);
    } catch (error) {
      this.complain(error);
    }
  }
}
