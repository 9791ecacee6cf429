import { Body } from './body';
import { ChartBar } from './chart_bar';
import { attachChartTools } from './chart_tools';
import { look } from './controls';
import { Head } from './head';
import type { AnyModel } from './model';
import { Notices } from './notices';
import { guardKeys, watchPresence, whenInside } from './presence';
import { Session } from './session';
import { openTab, Tabs } from './tabs';

interface Made {
  readonly model: AnyModel;
  /** anywidget has it from 0.9.14 on. */
  readonly signal?: AbortSignal;
}

interface MadeView extends Made {
  readonly el: HTMLElement;
}

/** The browser half of the live view, as anywidget wants it: called once for each model. */
export default function liveView(): {
  initialize(made: Made): () => void;
  render(made: MadeView): () => void;
} {
  let session: Session | null = null;
  return {
    initialize({ model }) {
      session = new Session(model);
      return () => session?.close();
    },
    render({ model, el, signal }) {
      session ??= new Session(model);
      return draw(session, el, signal);
    }
  };
}

/** Draw a view of a session into `el`; the answer takes everything away again. */
function draw(session: Session, el: HTMLElement, given: AbortSignal | undefined): () => void {
  const ending = new AbortController();
  const { signal } = ending;
  const end = (): void => ending.abort();
  given?.addEventListener('abort', end);
  const notices = new Notices(signal);
  session.onTold('said', ({ said, bad }) => notices.say(said ?? '', bad), signal);
  const head = new Head(session, notices, signal);
  const body = new Body(session, notices, signal);
  const tabs = new Tabs(session, body.node, signal);
  const bar = new ChartBar(session, signal);
  notices.node.classList.add('aml-v-part');
  el.classList.add('aml-v-panel');
  el.replaceChildren(...[head, notices, tabs, bar].map(part => part.node), bar.more, body.node);
  body.update();
  guardKeys(el, signal);
  const attached = (box: HTMLElement): void => {
    // All of it: whoever reads the charts or the log has the head scrolled away.
    watchPresence(box, session, signal);
    attach(box, session, signal);
  };
  whenInside(head.node, '.aml-view', attached, signal);
  return end;
}

/** Let the charts, which stand beside the panel, follow its tabs. */
function attach(box: HTMLElement, session: Session, signal: AbortSignal): void {
  const update = (): void => {
    box.dataset.tab = openTab(session);
    box.dataset.tone = look(session.run?.status ?? '').tone;
  };
  for (const name of ['tab', 'tabs', 'runs'] as const) {
    session.onChange(name, update, signal);
  }
  update();
  const detach = attachChartTools(box, session.model);
  signal.addEventListener('abort', detach);
}
