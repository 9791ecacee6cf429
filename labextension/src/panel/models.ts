import { Clipboard, Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import type { ActionDone, ModelList, ModelRow } from '../api';
import { element } from '../dom';
import { bytes, count, moment } from '../format';
import { Commands, type IRunService, type ISectionHost } from '../tokens';
import { entry, muted, nameButton, problem, PolledSection } from './polled';

const EVERY = 10_000;

/** Registered models: the latest version of each, the run that it came from, and how to load it. */
export class ModelsSection extends PolledSection<ModelList> {
  constructor(
    host: ISectionHost,
    service: IRunService,
    private readonly commands: CommandRegistry,
    trans: TranslationBundle
  ) {
    super(host, service, trans, 'models', EVERY);
  }

  protected draw({ models, more }: ModelList, place: string): readonly Node[] {
    const { trans } = this;
    this.host.setNote(models.length === 0 ? '' : count(models.length + more));
    if (models.length === 0) {
      return [muted(trans.__('No model is registered yet: run.register_model keeps what a run left.'))];
    }
    return [
      element('ul', {}, ...models.map(model => this.model(model, place))),
      ...(more > 0 ? [muted(trans.__('… and %1 more', count(more)))] : [])
    ];
  }

  private model(model: ModelRow, place: string): HTMLElement {
    const { trans } = this;
    const { name, version, versions } = model;
    const id = `${name}:${version}`;
    const about = [
      model.framework ?? '',
      versions > 1 ? trans.__('%1 versions', count(versions)) : '',
      moment(model.created)
    ];
    const tags = Object.entries(model.tags).map(([key, value]) => (value ? `${key}=${value}` : key));
    const item = entry(
      id,
      bytes(model.size),
      [about.filter(text => text !== '').join(' · '), tags.join(' · '), model.description],
      element(
        'div',
        { class: 'aml-Machine-actions' },
        this.button(trans.__('Copy code'), `${id} copy`, () => this.copy(model)),
        this.button(trans.__('Delete…'), `${id} delete`, () => void this.delete(model, place))
      )
    );
    const { run } = model;
    if (run !== null) {
      const open = (): void => void this.commands.execute(Commands.open, { place, run });
      const button = nameButton(id, id, open);
      button.title = trans.__('Open the run that it came from: %1', run);
      item.querySelector('.aml-Machine-name')?.replaceChildren(button);
    }
    return item;
  }

  private button(text: string, key: string, act: () => void): HTMLElement {
    const made = element(
      'button',
      { type: 'button', class: 'aml-Machine-button', 'data-key': key, 'aria-label': `${text} ${key}` },
      text
    );
    made.onclick = act;
    return made;
  }

  private copy({ name, version }: ModelRow): void {
    const { trans } = this;
    Clipboard.copyToSystem(`Model(ws, ${JSON.stringify(name)}, version=${version})`);
    this.say(trans.__('Copied what loads %1 in a notebook.', `${name}:${version}`));
  }

  /** Delete a version; asked first, for what is deleted does not come back. */
  private async delete({ name, version }: ModelRow, place: string): Promise<void> {
    const { trans } = this;
    const id = `${name}:${version}`;
    const { button } = await showDialog({
      title: trans.__('Delete %1?', id),
      body: trans.__('The files of this version are removed; the run that it came from stays.'),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Delete') })],
      defaultButton: 0
    });
    if (!button.accept) {
      return;
    }
    try {
      const done = await this.service.post<ActionDone>('models', { name, version }, { place });
      this.say(done.said);
    } catch (error) {
      await showErrorMessage(trans.__('%1 was not deleted', id), problem(error).textContent ?? '');
    }
    this.ask();
  }
}
