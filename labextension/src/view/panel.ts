import { Body, type MoreParts } from './body';
import { ChartBar } from './chart_bar';
import { look } from './controls';
import { Head } from './head';
import { Notices } from './notices';
import { guardKeys, watchPresence, whenInside } from './presence';
import type { Session } from './session';
import { openTab, Tabs } from './tabs';

/** What else a view is given by who draws it. */
export interface Surroundings {
  /** Controls that stand behind those above the charts. */
  readonly controls?: readonly HTMLElement[];
  readonly parts?: MoreParts;
  /** Called with the box around all of it, once it is in a page. */
  readonly attached?: (box: HTMLElement, signal: AbortSignal) => void;
}

/** Draw a view of a session into `el`, which is to be inside of a box of the class `aml-view`. */
export function drawPanel(
  session: Session,
  el: HTMLElement,
  signal: AbortSignal,
  around: Surroundings = {}
): void {
  const notices = new Notices(signal);
  session.onTold('said', ({ said, bad }) => said && notices.say(said, bad), signal);
  const head = new Head(session, notices, signal);
  const body = new Body(session, notices, signal, around.parts);
  const tabs = new Tabs(session, body.node, signal);
  const bar = new ChartBar(session, signal);
  bar.node.append(...(around.controls ?? []));
  notices.node.classList.add('aml-v-part');
  el.classList.add('aml-v-panel');
  el.replaceChildren(...[head, notices, tabs, bar].map(part => part.node), bar.more, body.node);
  body.update();
  guardKeys(el, signal);
  const attached = (box: HTMLElement): void => {
    // All of it: whoever reads the charts or the log has the head scrolled away.
    watchPresence(box, session, signal);
    follow(box, session, signal);
    around.attached?.(box, signal);
  };
  whenInside(head.node, '.aml-view', attached, signal);
}

/** Let the charts, which stand beside the panel, follow its tabs. */
function follow(box: HTMLElement, session: Session, signal: AbortSignal): void {
  const update = (): void => {
    box.dataset.tab = openTab(session);
    box.dataset.tone = look(session.run?.status ?? '').tone;
  };
  for (const name of ['tab', 'tabs', 'runs'] as const) {
    session.onChange(name, update, signal);
  }
  update();
}
