import { MessageLoop } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';

/** A page may have another tab after these: the first, or that of another part of the screen. */
const MOVES: ReadonlySet<string> = new Set(['after-attach', 'after-show', 'resize']);

/** Keep the tab of a page called by its whole name for those who hear it, though it shows a part. */
export function nameTab(page: Widget, name: () => string): void {
  const write = (): void => {
    const tab = document.querySelector(`.lm-TabBar-tab[data-id="${CSS.escape(page.id)}"]`);
    tab?.setAttribute('aria-label', name());
  };
  // The bar draws its tabs in the next frame.
  const later = (): number => requestAnimationFrame(() => requestAnimationFrame(write));
  page.title.changed.connect(write);
  MessageLoop.installMessageHook(page, (_, message) => {
    if (MOVES.has(message.type)) {
      later();
    }
    return true;
  });
}
