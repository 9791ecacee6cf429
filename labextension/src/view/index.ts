import { attachChartTools } from './chart_tools';
import type { AnyModel } from './model';
import { drawPanel } from './panel';
import { Session } from './session';

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
  const end = (): void => ending.abort();
  given?.addEventListener('abort', end);
  drawPanel(session, el, ending.signal, {
    attached: (box, signal) => {
      const detach = attachChartTools(box, session.model);
      signal.addEventListener('abort', detach);
    }
  });
  return end;
}
