import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type {
  Build,
  BuildLog,
  EnvironmentList,
  EnvironmentRow,
  Prunable,
  PrunableBuild,
  Pruned
} from '../api';
import { element } from '../dom';
import { bytes, moment } from '../format';
import type { IRunService, ISectionHost } from '../tokens';
import { entry, muted, problem, PolledSection } from './polled';

const EVERY = 10_000;

/** What runs in: environments with what is built of them, their build logs, and how to make room. */
export class EnvironmentsSection extends PolledSection<EnvironmentList> {
  constructor(host: ISectionHost, service: IRunService, trans: TranslationBundle) {
    super(host, service, trans, 'environments', EVERY);
  }

  protected draw({ environments }: EnvironmentList, place: string): readonly Node[] {
    const { trans } = this;
    const size = environments.reduce((sum, each) => sum + each.size, 0);
    this.host.setNote(size > 0 ? bytes(size) : '');
    const built = environments.filter(each => each.builds.length > 0 || each.error !== '');
    const rest = environments.filter(each => !built.includes(each));
    const prune = element(
      'button',
      { type: 'button', class: 'aml-Machine-button', 'data-key': ' prune' },
      trans.__('Make room…')
    );
    prune.title = trans.__('Remove what was built and not used for long');
    prune.onclick = () => void this.prune(place);
    const others = element('details', { 'data-key': ' rest' });
    others.append(
      element('summary', {}, trans._n('%1 that is not built', '%1 that are not built', rest.length)),
      element('ul', {}, ...rest.map(each => this.environment(each)))
    );
    return [
      element('div', { class: 'aml-Machine-actions' }, prune),
      ...(built.length === 0 ? [muted(trans.__('Nothing is built yet.'))] : []),
      element('ul', {}, ...built.map(each => this.environment(each))),
      ...(rest.length === 0 ? [] : [others])
    ];
  }

  private environment(row: EnvironmentRow): HTMLElement {
    const { trans } = this;
    const name = row.version === '' ? row.name : `${row.name}:${row.version}`;
    const said = [row.state, row.size > 0 ? bytes(row.size) : ''];
    const used = row.used === null ? '' : trans.__('used %1', moment(row.used));
    const item = entry(
      name,
      said.filter(text => text !== '').join(' · '),
      [row.error, [row.source, used].filter(text => text !== '').join(' · ')],
      ...row.builds.map(build => this.build(build))
    );
    item.classList.toggle('aml-mod-bad', row.error !== '' || row.builds.some(each => each.error));
    return item;
  }

  /** A build, whose log is asked for when it is opened. */
  private build(build: Build): HTMLElement {
    const { trans } = this;
    const log = element('pre', { tabindex: '0', 'aria-label': trans.__('Build log') });
    const about = `${build.kind} · ${build.state} · ${build.key.slice(0, 8)}`;
    const details = element(
      'details',
      { 'data-key': build.key },
      element('summary', {}, trans.__('Build log: %1', about)),
      ...(build.error === '' ? [] : [muted(build.error)]),
      log
    );
    details.addEventListener('toggle', () => {
      if (details.open) {
        this.service.get<BuildLog>('environments/log', { key: build.key }).then(
          ({ text }) => {
            log.textContent = text === '' ? trans.__('The log is empty.') : text;
            log.scrollTop = log.scrollHeight;
          },
          (error: unknown) => log.replaceWith(problem(error))
        );
      }
    });
    return details;
  }

  /** Show what would go, and remove it if that is wanted. */
  private async prune(place: string): Promise<void> {
    const { service, trans } = this;
    try {
      const { builds, days } = await service.get<Prunable>('environments/prune', { place });
      const going = builds.filter(each => each.kept === '');
      if (!(await this.isSure(going, days))) {
        return;
      }
      const keys = going.map(each => each.key);
      const done = await service.post<Pruned>('environments/prune', { keys }, { place });
      this.say(trans.__('%1 freed.', bytes(done.freed)));
      this.ask();
    } catch (error) {
      await showErrorMessage(trans.__('Nothing was removed'), error as Error);
    }
  }

  private async isSure(going: readonly PrunableBuild[], days: number): Promise<boolean> {
    const { trans } = this;
    const size = going.reduce((sum, each) => sum + each.size, 0);
    const body = element(
      'div',
      { class: 'aml-Sure' },
      going.length === 0
        ? muted(trans.__('Everything was used during the last %1 days.', days))
        : element('ul', {}, ...going.map(each => element('li', {}, this.inWords(each)))),
      going.length === 0
        ? null
        : element('p', {}, trans.__('They are built again when a run asks for them.'))
    );
    const result = await showDialog({
      title:
        going.length === 0
          ? trans.__('There is nothing to remove')
          : trans._n('Remove %1 build and free %2?', 'Remove %1 builds and free %2?', going.length, bytes(size)),
      body: new Widget({ node: body }),
      buttons:
        going.length === 0
          ? [Dialog.okButton({ label: trans.__('Close') })]
          : [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Remove') })],
      defaultButton: 0
    });
    return going.length > 0 && result.button.accept;
  }

  private inWords(each: PrunableBuild): string {
    const name = each.name === '' ? each.key.slice(0, 8) : each.name;
    return this.trans.__('%1 (%2, %3), used %4', name, each.kind, bytes(each.size), moment(each.used));
  }
}
