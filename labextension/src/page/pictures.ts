import { element } from '../dom';
import type { Picture } from '../protocol';
import type { Session } from '../view/session';

/** What a run logged that is no number: tables and images, each drawn anew when there is more. */
export class Pictures {
  readonly node = element('div', { class: 'aml-pictures aml-Page-pictures' });
  private readonly known = new Map<string, HTMLElement>();

  constructor(session: Session, signal: AbortSignal) {
    session.onTold('pictures', told => this.draw(told.pictures ?? []), signal);
    session.onOtherRun(() => this.draw([]), signal);
  }

  private draw(pictures: readonly Picture[]): void {
    const nodes = pictures.map(picture => this.drawn(picture));
    for (const [key, node] of this.known) {
      if (!nodes.includes(node)) {
        this.known.delete(key);
      }
    }
    this.node.replaceChildren(...nodes);
  }

  private drawn({ run, name, html }: Picture): HTMLElement {
    const key = JSON.stringify([run, name]);
    const node = this.known.get(key) ?? element('div', { class: 'aml-Page-picture' });
    this.known.set(key, node);
    if (html !== null) {
      // The server makes this HTML and escapes what is in it.
      node.innerHTML = html;
    }
    return node;
  }
}
