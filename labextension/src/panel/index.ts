import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { Widget } from '@lumino/widgets';

import { IRunChoices } from '../lab/settings';
import { Commands, IPanelSections, IRunService, type ISectionHost } from '../tokens';
import { Badge } from './badge';
import { BatchesSection } from './batches';
import { EnvironmentsSection } from './environments';
import { runsIcon } from './icon';
import { Memory } from './memory';
import { ModelsSection } from './models';
import { RunsPanel, type KeptOfPanel } from './panel';
import { RunsSection, type KeptOfList } from './runssection';
import { PanelSections } from './sections';
import { TargetsSection } from './targets';

/** Below the file browser and the running kernels. */
const RANK = 250;

/** The sidebar itself; what it shows are sections of other plugins. */
const panel: JupyterFrontEndPlugin<IPanelSections> = {
  id: 'aml-jupyter:panel',
  description: 'The sidebar of runs, to which sections can be added.',
  autoStart: true,
  provides: IPanelSections,
  requires: [IRunService],
  optional: [ILayoutRestorer, IStateDB, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    service: IRunService,
    restorer: ILayoutRestorer | null,
    state: IStateDB | null,
    translator: ITranslator | null
  ): IPanelSections => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const sections = new PanelSections();
    const memory = new Memory<KeptOfPanel>(state, 'aml-jupyter:panel');
    const widget = new RunsPanel(service, sections, memory, trans);
    app.shell.add(widget, 'left', { rank: RANK, type: 'Runs' });
    restorer?.add(widget, widget.id);
    const badge = new Badge(widget, service, new Memory(state, 'aml-jupyter:badge'), trans);
    widget.disposed.connect(() => badge.dispose());
    app.commands.addCommand(Commands.showPanel, {
      label: trans.__('Show Runs'),
      caption: trans.__('Show the sidebar with all runs'),
      icon: runsIcon,
      execute: () => app.shell.activateById(widget.id),
      describedBy: { args: { type: 'object', properties: {} } }
    });
    return sections;
  }
};

/** The list of runs, the first section. */
const runs: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:runs-section',
  description: 'Lists the runs of a workspace in the sidebar.',
  autoStart: true,
  requires: [IPanelSections, IRunService],
  optional: [IRunChoices, IStateDB, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    sections: IPanelSections,
    service: IRunService,
    choices: IRunChoices | null,
    state: IStateDB | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('aml_jupyter');
    const memory = new Memory<KeptOfList>(state, 'aml-jupyter:runs');
    sections.add({
      id: 'runs',
      title: trans.__('All runs'),
      rank: 0,
      create: host => new RunsSection(host, service, memory, choices, app.commands, trans)
    });
  }
};

/** A section that needs nothing but the service: a plugin of its own, so that each can be turned off. */
function sectionPlugin(
  id: string,
  description: string,
  rank: number,
  title: (trans: TranslationBundle) => string,
  create: (
    host: ISectionHost,
    service: IRunService,
    commands: CommandRegistry,
    trans: TranslationBundle
  ) => Widget
): JupyterFrontEndPlugin<void> {
  return {
    id: `aml-jupyter:${id}-section`,
    description,
    autoStart: true,
    requires: [IPanelSections, IRunService],
    optional: [ITranslator],
    activate: (
      app: JupyterFrontEnd,
      sections: IPanelSections,
      service: IRunService,
      translator: ITranslator | null
    ): void => {
      const trans = (translator ?? nullTranslator).load('aml_jupyter');
      sections.add({
        id,
        title: title(trans),
        rank,
        create: host => create(host, service, app.commands, trans)
      });
    }
  };
}

const batches = sectionPlugin(
  'batches',
  'Shows batches of notebooks in the sidebar.',
  50,
  trans => trans.__('Batches'),
  (...made) => new BatchesSection(...made)
);

const targets = sectionPlugin(
  'targets',
  'Shows targets, GPUs and the queue in the sidebar.',
  100,
  trans => trans.__('Targets'),
  (...made) => new TargetsSection(...made)
);

const environments = sectionPlugin(
  'environments',
  'Shows environments and what is built of them in the sidebar.',
  200,
  trans => trans.__('Environments'),
  (host, service, _, trans) => new EnvironmentsSection(host, service, trans)
);

const models = sectionPlugin(
  'models',
  'Shows registered models in the sidebar.',
  300,
  trans => trans.__('Models'),
  (...made) => new ModelsSection(...made)
);

export const panelPlugins: JupyterFrontEndPlugin<unknown>[] = [
  panel,
  runs,
  batches,
  targets,
  environments,
  models
];
