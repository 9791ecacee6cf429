import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import type { BatchList, BatchRow } from '../api';
import { element } from '../dom';
import { count, moment } from '../format';
import { lookOf, signOf } from '../states';
import { Commands, type IRunService, type ISectionHost } from '../tokens';
import { entry, muted, nameButton, PolledSection } from './polled';

const EVERY = 3000;

/** Batches of notebooks, and how far each is. */
export class BatchesSection extends PolledSection<BatchList> {
  constructor(
    host: ISectionHost,
    service: IRunService,
    private readonly commands: CommandRegistry,
    trans: TranslationBundle
  ) {
    super(host, service, trans, 'batches', EVERY);
  }

  protected draw({ batches, more }: BatchList, place: string): readonly Node[] {
    const { trans } = this;
    this.host.setNote(batches.length === 0 ? '' : count(batches.length + more));
    if (batches.length === 0) {
      return [
        muted(trans.__('No notebook was run as a batch yet: its toolbar has a button for that.'))
      ];
    }
    return [
      element('ul', {}, ...batches.map(batch => this.batch(batch, place))),
      ...(more > 0 ? [muted(trans.__('… and %1 more', count(more)))] : [])
    ];
  }

  private batch(batch: BatchRow, place: string): HTMLElement {
    const { trans } = this;
    const look = lookOf(batch.status, trans);
    const ended = Math.min(batch.ended, batch.notebooks);
    const said = trans.__('%1 of %2', count(ended), count(batch.notebooks));
    const failed = batch.failed > 0 ? trans.__('%1 failed', count(batch.failed)) : '';
    const about = [look.label, failed, batch.notebook, moment(batch.created)];
    const bar = element('progress', {
      max: String(Math.max(batch.notebooks, 1)),
      value: String(ended),
      'aria-label': trans.__('Notebooks that are over')
    });
    const item = entry(batch.name, said, [about.filter(text => text !== '').join(' · ')], bar);
    item.classList.add(`aml-mod-${look.tone}`);
    const open = (): void => void this.commands.execute(Commands.open, { place, run: batch.id });
    const button = nameButton(batch.name, batch.id, open);
    item.querySelector('.aml-Machine-name')?.replaceChildren(signOf(look), button);
    return item;
  }
}
