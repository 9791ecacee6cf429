import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import type { Gpu, Queued, Target, TargetList } from '../api';
import { element, shortName } from '../dom';
import { bytes, count, ticking } from '../format';
import { Commands, type IRunService, type ISectionHost } from '../tokens';
import { entry, heading, muted, nameButton, PolledSection } from './polled';

const EVERY = 3000;
const ALL = -1;
/** A word that is so long is an id, most likely. */
const LONG_WORD = /(\S{23,})/;

/** Where runs can go, the GPUs of the machine, and who runs and waits on it. */
export class TargetsSection extends PolledSection<TargetList> {
  constructor(
    host: ISectionHost,
    service: IRunService,
    private readonly commands: CommandRegistry,
    trans: TranslationBundle
  ) {
    super(host, service, trans, 'targets', EVERY);
  }

  protected draw(answer: TargetList, place: string): readonly Node[] {
    const { trans } = this;
    const waiting = answer.queue.filter(run => run.position !== null).length;
    const running = answer.queue.length - waiting;
    this.host.setNote(
      answer.queued === 0
        ? ''
        : trans.__('%1 running, %2 waiting', count(running), count(answer.queued - running))
    );
    const rest = answer.queued - answer.queue.length;
    return [
      element('ul', {}, ...answer.targets.map(target => this.target(target))),
      ...(answer.gpus.length > 0 || answer.trouble !== ''
        ? [
            heading(trans.__('GPUs')),
            ...(answer.trouble === '' ? [] : [muted(answer.trouble)]),
            element('ul', {}, ...answer.gpus.map(gpu => this.gpu(gpu)))
          ]
        : []),
      heading(trans.__('Queue')),
      ...(answer.queued === 0 ? [muted(trans.__('Nothing runs or waits.'))] : []),
      element('ul', {}, ...answer.queue.map(run => this.queued(run, place))),
      ...(rest > 0 ? [muted(trans.__('… and %1 more', count(rest)))] : [])
    ];
  }

  private target(target: Target): HTMLElement {
    const { trans } = this;
    const { slots, gpus, running, waiting } = target;
    const said = [
      target.kind === target.name ? '' : target.kind,
      slots === null ? '' : trans.__('%1 of %2 slots', count(running), count(slots)),
      gpus === null || gpus === 0
        ? ''
        : gpus === ALL
          ? trans.__('all GPUs')
          : trans._n('%1 GPU', '%1 GPUs', gpus),
      slots === null && running > 0 ? trans.__('%1 running', count(running)) : '',
      waiting > 0 ? trans.__('%1 waiting', count(waiting)) : ''
    ];
    const item = entry(target.name, said.filter(text => text !== '').join(' · '), [
      target.remarks,
      target.description
    ]);
    item.classList.toggle('aml-mod-bad', !target.usable);
    return item;
  }

  private gpu(gpu: Gpu): HTMLElement {
    const { trans } = this;
    const said = [
      gpu.memory > 0 ? bytes(gpu.memory) : '',
      gpu.load === null ? '' : `${gpu.load.toFixed(0)} %`,
      gpu.holders.length > 0 ? gpu.holders.join(', ') : gpu.others === '' ? trans.__('free') : ''
    ];
    const others = gpu.others === '' ? '' : trans.__('Also used: %1', gpu.others);
    return entry(
      trans.__('GPU %1', gpu.index),
      said.filter(text => text !== '').join(' · '),
      [others]
    );
  }

  private queued(run: Queued, place: string): HTMLElement {
    const { trans } = this;
    const now = Date.now() / 1000;
    const { position, expected } = run;
    const starts =
      expected === null
        ? ''
        : expected <= now + 60
          ? trans.__('starts soon')
          : trans.__('starts in about %1', ticking(expected - now));
    const said = position === null ? run.target : trans.__('no. %1 · %2', position, run.target);
    const about = [run.asks, starts, run.why].filter(Boolean).join(' · ');
    const item = entry(run.id, said, [], about === '' ? null : brief(about));
    const name = item.querySelector('.aml-Machine-name');
    if (run.here) {
      const open = (): void => void this.commands.execute(Commands.open, { place, run: run.id });
      name?.replaceChildren(nameButton(run.id, run.id, open));
    } else {
      name?.setAttribute('title', trans.__('%1, of another workspace', run.id));
    }
    return item;
  }
}

/** A line or two in which ids are cut in their middle; the whole is its title. */
function brief(text: string): HTMLElement {
  const line = muted('');
  const words = text
    .split(LONG_WORD)
    .map((part, nth) =>
      nth % 2 === 0 ? part : element('span', { class: 'aml-mod-whole' }, shortName(part))
    );
  line.append(...words);
  line.classList.add('aml-mod-brief');
  line.title = text;
  return line;
}
