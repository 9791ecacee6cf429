import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Panel, Widget } from '@lumino/widgets';

import type { KernelWatch, Loss } from './kernelwatch';
import { lossStrip } from './lossstrip';
import { drawn, RUN_CARD_MIME } from './runcard';
import { WIDGET_MIME, type WidgetDrawer, type WidgetSlot } from './widgetslot';

// How long an output may stay empty while its widget is on the way, in milliseconds.
const PATIENCE = 250;

/** The output of a run in a notebook: its widget if the kernel has it, else its card. */
export class LiveOutput extends Panel implements IRenderMime.IRenderer {
  constructor(
    private readonly drawer: WidgetDrawer,
    private readonly kernel: KernelWatch,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('aml-Live-host');
    this.card.addClass('aml-RunCard-host');
    this.card.hide();
    this.addWidget(this.card);
    kernel.lost.connect(this.onLost, this);
    kernel.stirred.connect(this.onStirred, this);
  }

  /** Draw; where the same widget stands already, it is left alone. */
  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const modelId = widgetOf(model);
    const isSame = this.model !== null && modelId === this.modelId;
    this.model = model;
    this.modelId = modelId;
    if (!isSame) {
      this.forget();
      void this.attempt();
    } else if (!this.card.isHidden) {
      this.showCard();
    }
    return Promise.resolve();
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.forget();
      this.kernel.lost.disconnect(this.onLost, this);
      this.kernel.stirred.disconnect(this.onStirred, this);
      super.dispose();
    }
  }

  /** Draw the widget if that can be done, and the card as long as it does not stand. */
  private async attempt(): Promise<void> {
    const turn = ++this.turn;
    if (this.modelId === '' || !this.drawer.isReady) {
      this.showCard();
    } else if (this.card.isHidden) {
      this.late = window.setTimeout(() => this.showCard(), PATIENCE);
    }
    if (this.modelId === '' || !(await this.drawer.ready()) || turn !== this.turn) {
      return;
    }
    const slot = this.drawer.slot(() => this.onView());
    this.slot = slot;
    this.addWidget(slot.widget);
    if (!(await this.draw(slot)) && turn === this.turn) {
      this.giveUp();
    }
  }

  private draw(slot: WidgetSlot): Promise<boolean> {
    return this.model === null ? Promise.resolve(false) : slot.draw(this.model);
  }

  /** A view has come, maybe one that no kernel knows, or it has gone because the kernel closed it. */
  private onView(): void {
    if (this.slot?.isLive) {
      this.stands = true;
      window.clearTimeout(this.late);
      this.card.hide();
      this.card.node.replaceChildren();
    } else if (this.stands || this.slot?.isDead) {
      // Out of sight it would stand in the way of one that the kernel has later.
      this.giveUp();
    }
  }

  private onLost(_: KernelWatch, loss: Loss): void {
    if (this.stands && this.strip === null) {
      this.strip = new Widget({ node: lossStrip(loss, this.data, this.trans) });
      this.insertWidget(0, this.strip);
    } else if (!this.stands && this.slot !== null) {
      this.giveUp();
    }
  }

  private async onStirred(): Promise<void> {
    const { turn, modelId } = this;
    if (modelId === '') {
      return;
    }
    const isHeld = await this.kernel.holds(modelId);
    if (turn !== this.turn) {
      return;
    }
    if (this.stands && isHeld === false) {
      this.onLost(this.kernel, 'restarted');
    } else if (this.slot === null && isHeld) {
      await this.attempt();
    }
  }

  private giveUp(): void {
    this.forget();
    this.showCard();
  }

  private showCard(): void {
    this.card.node.replaceChildren(drawn(this.data, this.trans));
    this.card.show();
  }

  /** Leave the widget, and whatever goes on for its sake. */
  private forget(): void {
    this.turn += 1;
    window.clearTimeout(this.late);
    this.slot?.dispose();
    this.slot = null;
    this.strip?.dispose();
    this.strip = null;
    this.stands = false;
  }

  private get data(): unknown {
    return this.model?.data[RUN_CARD_MIME];
  }

  private readonly card = new Widget();
  private model: IRenderMime.IMimeModel | null = null;
  /** The widget that the output names; empty if there is none, or none to be trusted. */
  private modelId = '';
  private slot: WidgetSlot | null = null;
  private strip: Widget | null = null;
  /** Whether the widget's view is in the page. */
  private stands = false;
  private late = 0;
  /** Counts attempts, so that one that was overtaken while it waited does nothing more. */
  private turn = 0;
}

function widgetOf(model: IRenderMime.IMimeModel): string {
  const view = model.data[WIDGET_MIME] as { model_id?: unknown } | undefined;
  return model.trusted && typeof view?.model_id === 'string' ? view.model_id : '';
}
