import type { Session } from './session';

// A little before it scrolls into sight, so that it is up to date when it does.
const MARGIN = '200px';

/** Tell the session whether `node` is on screen, and whether our JupyterLab extension hosts it. */
export function watchPresence(node: HTMLElement, session: Session, signal: AbortSignal): void {
  const view = {};
  let inSight = false;
  const tell = (): void =>
    session.setVisible(view, inSight && document.visibilityState === 'visible');
  const observer = new IntersectionObserver(
    entries => {
      inSight = entries[entries.length - 1]?.isIntersecting ?? false;
      if (inSight) {
        session.set('hosted', node.closest('.aml-Live-host') !== null);
      }
      tell();
    },
    // The second is for the notebook that scrolls around it; TypeScript does not know it yet.
    { rootMargin: MARGIN, ...{ scrollMargin: MARGIN } }
  );
  observer.observe(node);
  document.addEventListener('visibilitychange', tell, { signal });
  signal.addEventListener('abort', () => {
    observer.disconnect();
    session.setVisible(view, false);
  });
}

/** Call `found` with the box around all parts of the view, once `node` is in it. */
export function whenInside(
  node: HTMLElement,
  selector: string,
  found: (box: HTMLElement) => void,
  signal: AbortSignal
): void {
  // A widget is drawn before it is put into the page; having a size is the first sign that it is.
  const observer = new ResizeObserver(() => {
    const box = node.closest<HTMLElement>(selector);
    if (box !== null) {
      observer.disconnect();
      found(box);
    }
  });
  observer.observe(node);
  signal.addEventListener('abort', () => observer.disconnect());
}

/** Keep JupyterLab's keys away: Enter presses a button in here, and edits no cell. */
export function guardKeys(node: HTMLElement, signal: AbortSignal): void {
  const guard = (event: KeyboardEvent): void => {
    const { target } = event;
    if (target instanceof Element && node.contains(target)) {
      // Those with Control, such as for saving, go on being the application's. JupyterLab's keys
      // are bound to the focused element itself, so the mark must be there and not further out.
      const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
      target.toggleAttribute('data-lm-suppress-shortcuts', plain);
    }
  };
  window.addEventListener('keydown', guard, { capture: true, signal });
}
