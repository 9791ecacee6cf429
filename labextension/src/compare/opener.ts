import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, type WidgetTracker } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

import { addStyles } from '../styles';
import { complain, inform } from '../lab/told';
import { Commands, type IRunService } from '../tokens';
import { compareIcon } from './icon';
import { CompareModel, FIRST, MOST, type Choices } from './model';
import { ComparePage } from './page';
import { matching, pickRuns } from './picker';
import charts from '../../style/chart_tools.raw.css';
import compare from '../../style/compare.raw.css';
import plot from '../../style/plot.raw.css';
import view from '../../style/view.raw.css';

addStyles({ view, charts, plot, compare });

/** How pages call themselves, where they are remembered too. */
const NAMESPACE = 'aml-compare';
let pages = 0;

/** Opens pages. */
export class Opener {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly service: IRunService,
    private readonly tracker: WidgetTracker<MainAreaWidget<ComparePage>>,
    private readonly trans: TranslationBundle
  ) {}

  /** Open a page with the runs named, all that a filter matches, or those that the reader picks. */
  async open(args: ReadonlyPartialJSONObject): Promise<void> {
    const { trans } = this;
    const place = typeof args['place'] === 'string' ? args['place'] : await this.placeNow();
    if (place === undefined) {
      inform(trans.__('There is no workspace yet whose runs could be compared.'));
      return;
    }
    try {
      const runs = await this.runsOf(place, args);
      if (runs !== undefined) {
        this.show({ ...choicesOf(args), place, runs }, args['page']);
      }
    } catch (error) {
      complain(error);
    }
  }

  private async placeNow(): Promise<string | undefined> {
    await this.service.hello.catch(() => undefined);
    return this.service.place?.key;
  }

  private async runsOf(
    place: string,
    args: ReadonlyPartialJSONObject
  ): Promise<readonly string[] | undefined> {
    const { service, trans } = this;
    const { run, runs, filter } = args;
    if (Array.isArray(runs)) {
      const ids = [...new Set(runs.map(String))];
      this.tellCut(ids.length);
      return ids.slice(0, MOST);
    }
    if (typeof run === 'string') {
      const others = await pickRuns(service, place, [run], trans);
      return others && [run, ...others];
    }
    if (typeof filter !== 'string') {
      return pickRuns(service, place, [], trans);
    }
    const found = await matching(service, place, filter);
    this.tellCut(found.total);
    if (found.ids.length === 0) {
      inform(trans.__('No run matches: %1', filter));
    }
    return found.ids.length === 0 ? undefined : found.ids;
  }

  private tellCut(total: number): void {
    if (total > MOST) {
      inform(this.trans.__('A page compares %1 runs: the first of %2.', MOST, total));
    }
  }

  private show(choices: Choices, id: unknown): void {
    const { app, tracker, trans } = this;
    const { place } = choices;
    const model = new CompareModel(this.service, trans, choices);
    const content = new ComparePage(model, {
      open: run => void app.commands.execute(Commands.open, { place, run }),
      insert: runs => void app.commands.execute(Commands.insert, { place, runs: [...runs] })
    });
    followCommand(app.commands, Commands.insert, content, can => content.setInsertable(can));
    content.id = typeof id === 'string' ? id : `${NAMESPACE}-${Date.now().toString(36)}-${++pages}`;
    content.title.label = trans.__('Compare');
    content.title.icon = compareIcon;
    const widget = new MainAreaWidget({ content });
    widget.id = content.id;
    widget.title.closable = true;
    widget.title.caption = trans.__('Runs against each other');
    model.stateChanged.connect((_, what) => {
      if (what === 'choices') {
        void tracker.save(widget);
      }
    });
    void tracker.add(widget);
    app.shell.add(widget, 'main');
    app.shell.activateById(widget.id);
  }
}

/** Tell a page now and from now on whether a command can be carried out. */
function followCommand(
  commands: CommandRegistry,
  id: string,
  page: Widget,
  tell: (can: boolean) => void
): void {
  const look = (): void => tell(commands.hasCommand(id) && commands.isEnabled(id));
  commands.commandChanged.connect(look);
  page.disposed.connect(() => commands.commandChanged.disconnect(look));
  look();
}

/** What a page that was left remembers, whatever else stands in the arguments. */
function choicesOf(args: ReadonlyPartialJSONObject): Omit<Choices, 'place' | 'runs'> {
  const kept = Object.entries(FIRST).filter(([name, usual]) => {
    const value = args[name];
    return Array.isArray(usual)
      ? Array.isArray(value)
      : value !== undefined && value !== null && (usual === null || typeof value === typeof usual);
  });
  const drawn = Array.isArray(args['drawn']) ? { drawn: args['drawn'].map(String) } : {};
  return { ...FIRST, ...Object.fromEntries(kept.map(([name]) => [name, args[name]])), ...drawn };
}
