import { element } from '../dom';
import { ParallelPlot, ScatterPlot, type RunColumn, type RunTable } from '../plot';
import type { Fact } from './facts';
import { MOST_DRAWN, type CompareModel } from './model';

/** Kinds of columns, by which plots choose their first axes. */
const KINDS = { facts: 'fact', parameters: 'parameter', tags: 'tag', metrics: 'metric' } as const;

/** How values of many runs hang together: as lines over parallel axes, and as dots of two of them. */
export class Relations {
  readonly node = element('div', { class: 'aml-Compare-relations' });
  private plots: { readonly parallel: ParallelPlot; readonly scatter: ScatterPlot } | null = null;
  private readonly ended = new AbortController();
  private isOpen = false;
  private shown: unknown[] = [];

  constructor(
    private readonly model: CompareModel,
    private readonly owner: { open(run: string): void; colourOf(run: string): string | undefined }
  ) {}

  dispose(): void {
    this.ended.abort();
  }

  /** It is on screen, or no more. */
  open(isOpen: boolean): void {
    this.isOpen = isOpen;
    this.update();
  }

  /** Runs, values or colours are others. */
  update(): void {
    const { model } = this;
    const { hidden, sort, parallel, scatter } = model.choices;
    // What is drawn is made anew only where it would be another; the reader's axes are its own.
    const now = [model.found, hidden, model.choices.shown, sort, this.coloursKey];
    if (!this.isOpen || now.every((value, nth) => value === this.shown[nth])) {
      return;
    }
    this.shown = now;
    const table = this.table();
    const plots = (this.plots ??= this.made());
    plots.parallel.show(table, parallel ?? { axes: [], colour: this.telling(table), parts: {} });
    plots.scatter.show(table, scatter ?? this.firstScatter(table));
  }

  private made(): { readonly parallel: ParallelPlot; readonly scatter: ScatterPlot } {
    const { model, owner, ended } = this;
    const { trans } = model;
    const opened = (id: string): void => owner.open(id);
    const parallel = new ParallelPlot(
      {
        opened,
        pointed: id => scatter.highlight(id),
        chosen: ids => scatter.only(ids)
      },
      chosen => model.choose({ parallel: chosen }),
      ended.signal
    );
    const scatter = new ScatterPlot(
      { opened, pointed: id => parallel.highlight(id) },
      chosen => model.choose({ scatter: chosen }),
      ended.signal
    );
    this.node.replaceChildren(
      element('h3', {}, trans.__('Parallel coordinates')),
      parallel.node,
      element('h3', {}, trans.__('Scatter')),
      scatter.node
    );
    return { parallel, scatter };
  }

  private get coloursKey(): string {
    return (this.model.found?.runs ?? []).map(run => this.owner.colourOf(run.id) ?? '').join();
  }

  private table(): RunTable {
    const { model } = this;
    const { hidden } = model.choices;
    const runs = model.found?.runs ?? [];
    const places = runs.flatMap((run, nth) => (hidden.includes(run.id) ? [] : [nth]));
    const usual = getComputedStyle(this.node).getPropertyValue('--jp-brand-color1').trim();
    const those = places.flatMap(nth => runs[nth] ?? []);
    return {
      columns: columnsOf(model.allFacts, places, model.trans.__('metric')),
      labels: those.map(run => run.name),
      ids: those.map(run => run.id),
      colours: those.map(run => this.owner.colourOf(run.id) ?? usual)
    };
  }

  /** The column that tells most of a run: what runs are sorted by, or the first metric that is better or worse. */
  private telling({ columns }: RunTable): string {
    const { allFacts, choices } = this.model;
    const better = allFacts.filter(fact => fact.better !== null && fact.differs);
    const [fact] = [...allFacts.filter(each => each.key === choices.sort), ...better];
    return columns.find(column => column.name === fact?.name)?.name ?? '';
  }

  private firstScatter(table: RunTable): { x: string; y: string; colour: string } {
    const { columns } = table;
    const isNumeric = (column: RunColumn): boolean =>
      column.values.every(value => typeof value !== 'string');
    const x = columns.find(column => column.kind === KINDS.parameters && isNumeric(column));
    const y = this.telling(table);
    // Only the runs that are drawn have colours of their own.
    const kinds = columns.filter(column => column.kind === KINDS.parameters && !isNumeric(column));
    const colour = table.ids.length > MOST_DRAWN ? (kinds[0]?.name ?? y) : '';
    return { x: (x ?? columns[0])?.name ?? '', y: y || (columns[1]?.name ?? ''), colour };
  }
}

/** Facts that differ as columns, each with a name of its own. */
function columnsOf(facts: readonly Fact[], places: readonly number[], metric: string): RunColumn[] {
  const taken = new Set<string>();
  const telling = facts.filter(fact => fact.differs && fact.key !== 'facts source');
  return telling.map(fact => {
    const name = taken.has(fact.name) ? `${fact.name} (${fact.kind === 'metrics' ? metric : KINDS[fact.kind]})` : fact.name;
    taken.add(name);
    const cells = places.map(nth => fact.cells[nth]);
    const values = cells.map(cell => cell?.value ?? (cell && cell.text !== '–' ? cell.text : null));
    return { name, kind: KINDS[fact.kind], values };
  });
}
