import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Widget } from '@lumino/widgets';

/** The type of an output that ipywidgets draws. */
export const WIDGET_MIME = 'application/vnd.jupyter.widget-view+json';

// What ipywidgets says by classes: a view whose kernel does not know it, and a place without a view.
const DISCONNECTED = 'jupyter-widgets-disconnected';
const FAILED = 'jupyter-widgets';

const PENDING = 'aml-mod-pending';

// ipywidgets gives no sign when it has taken a notebook over; it does so soon after the session is there.
const LOOKS = [0, 20, 50, 100, 200, 400, 800, 1600, 3200];

/** Makes places for widgets in one notebook. */
export class WidgetDrawer {
  constructor(
    private readonly rendermime: IRenderMimeRegistry,
    private readonly placeholder: IRenderMime.IRendererFactory | undefined,
    private readonly session: Promise<void>
  ) {}

  /** Whether ipywidgets draws in this notebook already. */
  get isReady(): boolean {
    return this.rendermime.getFactory(WIDGET_MIME) !== this.placeholder;
  }

  /** Wait until ipywidgets draws in this notebook; false if it does not, as without a kernel. */
  async ready(): Promise<boolean> {
    await this.session;
    for (const pause of LOOKS) {
      if (this.isReady) {
        return true;
      }
      await new Promise(resolve => window.setTimeout(resolve, pause));
    }
    return this.isReady;
  }

  /** A place for one widget; `changed` is called whenever its view comes or goes. */
  slot(changed: () => void): WidgetSlot {
    return new WidgetSlot(this.rendermime.createRenderer(WIDGET_MIME), changed);
  }
}

/** The place of one widget in a page: out of sight until its view stands. */
export class WidgetSlot {
  constructor(
    private readonly renderer: IRenderMime.IRenderer,
    changed: () => void
  ) {
    renderer.addClass(PENDING);
    this.observer = new MutationObserver(() => {
      renderer.toggleClass(PENDING, !this.isLive);
      changed();
    });
    this.observer.observe(renderer.node, { childList: true });
  }

  /** What to put into the page. */
  get widget(): Widget {
    return this.renderer;
  }

  /** Whether the view of a widget that a kernel knows stands here. */
  get isLive(): boolean {
    const view = this.renderer.node.firstElementChild;
    return view !== null && !view.classList.contains(DISCONNECTED);
  }

  /** Whether a view stands here that no kernel knows, as of a state saved in the notebook. */
  get isDead(): boolean {
    return this.renderer.node.firstElementChild?.classList.contains(DISCONNECTED) ?? false;
  }

  /** Let ipywidgets draw; false when it cannot, true when there is a view or may yet be one. */
  async draw(model: IRenderMime.IMimeModel): Promise<boolean> {
    try {
      await this.renderer.renderModel(model);
    } catch {
      return false;
    }
    const isEmpty = this.renderer.node.firstElementChild === null;
    return this.isLive || (isEmpty && !this.renderer.hasClass(FAILED));
  }

  /** Take the widget's view out of the page. */
  dispose(): void {
    this.observer.disconnect();
    this.renderer.dispose();
  }

  private readonly observer: MutationObserver;
}
