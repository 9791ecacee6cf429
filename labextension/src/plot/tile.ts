import { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';

import { element } from '../dom';
import { drawnButton, Pane } from '../view/chart_pane';
import { trans } from '../view/words';
import { PlotFigure, type Host } from './figure';
import { csvOf, fileName, pictureOf, save } from './saving';

const ARROW = 'M8 2v8M4.5 7L8 10.5 11.5 7M2.5 13.5h11';

/** A chart's place on the page; it costs next to nothing until it is on screen. */
export class Tile {
  readonly node: HTMLElement;
  readonly figure: PlotFigure;
  private readonly canvas = element('div', { class: 'aml-Plots-canvas' });
  private pane: Pane | null = null;

  constructor(
    key: string,
    private readonly title: string,
    private readonly host: Host
  ) {
    this.figure = new PlotFigure(key, host);
    // A pane says more, once it is there.
    this.node = element('figure', { class: 'aml-Plots-tile', 'aria-label': title });
    this.node.append(this.canvas);
  }

  get isShown(): boolean {
    return this.pane !== null;
  }

  /** It has come on screen. */
  show(): void {
    if (this.pane) {
      return;
    }
    const { node, figure, title } = this;
    const name = trans.__('Save or copy: %1', title);
    const saving = drawnButton(ARROW, name, () => this.openMenu(saving));
    saving.setAttribute('aria-haspopup', 'menu');
    this.pane = new Pane(node, figure, title, () => undefined, [saving]);
    figure.mount(this.canvas);
  }

  /** It has left the screen. */
  hide(): void {
    this.pane?.detach();
    this.pane = null;
    this.figure.unmount();
  }

  /** Mark a place where a pointer is in another chart. */
  mark(place: number | null): void {
    this.pane?.follow(place);
  }

  dispose(): void {
    this.hide();
    this.node.remove();
  }

  private openMenu(button: HTMLElement): void {
    const menu = new Menu({ commands: this.commands() });
    for (const command of ['values', 'picture', 'copy']) {
      menu.addItem({ command });
    }
    // One that is open stays until another has taken its place.
    menu.aboutToClose.connect(() => requestAnimationFrame(() => menu.dispose()));
    const { left, bottom } = button.getBoundingClientRect();
    // On a full screen nothing is seen but what is in the chart.
    const host = document.fullscreenElement === this.node ? this.node : document.body;
    menu.open(left, bottom, { host });
  }

  private commands(): CommandRegistry {
    const { figure, title, host } = this;
    const commands = new CommandRegistry();
    const isExact = figure.lines.every(line => line.info.exact);
    commands.addCommand('values', {
      label: isExact
        ? trans.__('Save values as CSV')
        : trans.__('Save values as CSV: of each pixel the lowest and the highest'),
      execute: () => save(fileName(title, 'csv'), new Blob([csvOf(figure)], { type: 'text/csv' }))
    });
    commands.addCommand('picture', {
      label: trans.__('Save as PNG'),
      execute: async () => save(fileName(title, 'png'), await pictureOf(figure, title, host.theme))
    });
    commands.addCommand('copy', {
      label: trans.__('Copy as picture'),
      // Browsers keep the clipboard's interface from pages that came over plain HTTP.
      isEnabled: () => 'clipboard' in navigator && 'ClipboardItem' in window,
      execute: () =>
        navigator.clipboard.write([
          new ClipboardItem({ 'image/png': pictureOf(figure, title, host.theme) })
        ])
    });
    return commands;
  }
}
