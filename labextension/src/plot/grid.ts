import { element } from '../dom';
import type { PlotData } from '../protocol';
import { setPressed, toggle } from '../view/controls';
import { trans } from '../view/words';
import type { Host, PlotFigure } from './figure';
import { Plotted, type Look } from './lines';
import type { PlotSource } from './source';
import { themeOf, watchTheme, type Theme } from './theme';
import { Tile } from './tile';

// So far away charts are made and asked for, that they stand there when they scroll into sight.
const MARGIN = '300px';
/** Milliseconds without a move until detail is asked for. */
const REST = 60;
/** Milliseconds without a move until there is to be as much detail on either side again. */
const LONG_REST = 400;
/** Milliseconds for which a reader who goes on moving sees less detail. */
const PATIENCE = 250;
/** Milliseconds of a frame that may go into new lines; what a reader moves is always drawn. */
const BUDGET = 8;

/** The charts of a source, of which only those on screen are drawn and asked for. */
export class PlotGrid {
  readonly node = element('div', { class: 'aml-charts aml-Plots' });
  /** A button for the bar above the charts: whether zooming into one of them zooms all. */
  readonly together: HTMLButtonElement;
  private readonly tiles = new Map<string, Tile>();
  private readonly byNode = new Map<Element, Tile>();
  private readonly onScreen = new Set<Tile>();
  private readonly sights: IntersectionObserver;
  /** Those that can be seen now, where the others are only close. */
  private readonly inSight = new Set<PlotFigure>();
  private readonly exactSights: IntersectionObserver;
  private readonly frames = new Frames();
  private readonly host: Host;
  private areTogether = false;
  private wasZoomed = false;
  private look: Look;
  private smoothing: number;
  private theme: Theme | null = null;
  private asking = 0;
  /** Since when there is less detail than there could be; 0 where there is enough. */
  private lacksSince = 0;
  private lastAsked = '';
  private pointed: number | null = null;

  constructor(private readonly source: PlotSource, signal: AbortSignal) {
    this.together = toggle(trans.__('Zoom together'), pressed => this.setTogether(pressed));
    this.look = lookOf(source);
    this.smoothing = source.options().smoothing;
    this.host = this.asHost();
    this.sights = new IntersectionObserver(
      entries => this.onSight(entries),
      // The second is for the page that scrolls around it; TypeScript does not know it yet.
      { rootMargin: MARGIN, ...{ scrollMargin: MARGIN } }
    );
    this.exactSights = new IntersectionObserver(entries => this.onExactSight(entries));
    source.onCharts(() => this.arrange(), signal);
    source.onOptions(() => this.onOptions(), signal);
    source.onPlot((data, buffer) => this.take(data, buffer), signal);
    source.onForgotten(() => this.askAnew(), signal);
    watchTheme(() => this.onTheme(), signal);
    signal.addEventListener('abort', () => this.dispose());
    this.arrange();
  }

  /** Zoom all charts when one is zoomed, or each alone. */
  setTogether(together: boolean): void {
    this.areTogether = together;
    setPressed(this.together, together);
  }

  private dispose(): void {
    window.clearTimeout(this.asking);
    this.sights.disconnect();
    this.exactSights.disconnect();
    this.frames.stop();
    this.tiles.forEach(tile => tile.dispose());
  }

  private asHost(): Host {
    const grid = this;
    return {
      get theme() {
        return (grid.theme ??= themeOf(grid.node));
      },
      get smoothing() {
        return grid.smoothing;
      },
      wants: (figure, now) => this.frames.add(figure, this.inSight.has(figure), now),
      resized: () => this.askLater(this.lastAsked === '' ? 0 : 2 * REST),
      moved: figure => this.onMoved(figure),
      pointed: (figure, place) => this.onPointed(figure, place)
    };
  }

  // Which charts there are

  private arrange(): void {
    const { figures } = this.source.charts();
    const keys = new Set(figures.map(figure => figure.model));
    for (const [key, tile] of this.tiles) {
      if (!keys.has(key)) {
        this.remove(key, tile);
      }
    }
    const nodes = figures.map(({ model, title }) => (this.tiles.get(model) ?? this.add(model, title)).node);
    // Those that stand right are not touched: moving one would take the focus from it.
    nodes.forEach((node, nth) => {
      if (this.node.children[nth] !== node) {
        this.node.insertBefore(node, this.node.children[nth] ?? null);
      }
    });
  }

  private add(key: string, title: string): Tile {
    const tile = new Tile(key, title, this.host);
    this.tiles.set(key, tile);
    this.byNode.set(tile.node, tile);
    this.sights.observe(tile.node);
    this.exactSights.observe(tile.node);
    return tile;
  }

  private remove(key: string, tile: Tile): void {
    this.sights.unobserve(tile.node);
    this.exactSights.unobserve(tile.node);
    this.inSight.delete(tile.figure);
    this.tiles.delete(key);
    this.byNode.delete(tile.node);
    this.onScreen.delete(tile);
    tile.dispose();
    this.askLater(0);
  }

  private onSight(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of entries) {
      const tile = this.byNode.get(target);
      if (tile && isIntersecting) {
        this.onScreen.add(tile);
        tile.show();
      } else if (tile && !tile.node.contains(document.activeElement)) {
        this.onScreen.delete(tile);
        tile.hide();
      }
    }
    this.askLater(0);
  }

  private onExactSight(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of entries) {
      const figure = this.byNode.get(target)?.figure;
      if (figure && isIntersecting) {
        this.inSight.add(figure);
        this.frames.hurry(figure);
      } else if (figure) {
        this.inSight.delete(figure);
      }
    }
  }

  // What is asked for

  private askLater(wait: number): void {
    window.clearTimeout(this.asking);
    this.asking = window.setTimeout(() => this.ask(), wait);
  }

  /** While a reader moves, ask only for what is not there: answers cost what frames are made of. */
  private askWhenMoved(): void {
    if ([...this.inSight].every(figure => figure.hasDetail)) {
      this.askLater(LONG_REST);
      return;
    }
    const now = performance.now();
    this.lacksSince ||= now;
    this.askLater(Math.min(REST, Math.max(0, this.lacksSince + PATIENCE - now)));
  }

  private ask(): void {
    this.asking = this.lacksSince = 0;
    const plots = [...this.onScreen].flatMap(tile => tile.figure.asked() ?? []);
    const asked = JSON.stringify(plots);
    if (asked !== this.lastAsked && this.source.ask({ kind: 'plots', plots })) {
      this.lastAsked = asked;
    }
  }

  private askAnew(): void {
    this.lastAsked = '';
    this.askLater(0);
  }

  private take(data: PlotData, buffer: DataView): void {
    const tile = this.tiles.get(data.key);
    // What was on its way when another axis was chosen is of no use any more.
    if (tile && data.axis === this.look.axis) {
      tile.figure.take(new Plotted(data, buffer, this.look));
      // Where every point is there by now, or not any more, something else is to be asked for.
      // A question that is due is not put off, however often lines come.
      if (this.asking === 0) {
        this.askLater(LONG_REST);
      }
    }
  }

  // What a reader does

  private onMoved(moved: PlotFigure): void {
    if (this.areTogether) {
      this.figures().filter(figure => figure !== moved).forEach(figure => figure.follow(moved.chosenX));
    }
    this.askWhenMoved();
    const zoomed = this.figures().some(figure => figure.zoomed);
    this.wasZoomed = zoomed;
    if (this.source.options().zoomed !== zoomed) {
      this.source.setZoomed(zoomed);
    }
  }

  private onPointed(figure: PlotFigure, place: number | null): void {
    if (place === this.pointed) {
      return;
    }
    this.pointed = place;
    for (const tile of this.onScreen) {
      if (tile.figure !== figure) {
        tile.mark(place);
      }
    }
  }

  private onOptions(): void {
    const [before, { smoothing, zoomed }] = [this.look, this.source.options()];
    this.look = lookOf(this.source);
    if (before.axis !== this.look.axis || (this.wasZoomed && !zoomed)) {
      this.figures().forEach(figure => figure.reset());
      this.askLater(0);
    }
    this.wasZoomed = zoomed;
    const isOther = before.logX !== this.look.logX || before.logY !== this.look.logY;
    if (isOther || this.smoothing !== smoothing) {
      this.smoothing = smoothing;
      this.figures().forEach(figure => figure.lookOtherwise(this.look));
    }
    if (isOther || before.axis !== this.look.axis) {
      this.askAnew();
    }
  }

  private onTheme(): void {
    // A style sheet that has just come holds from the next frame on.
    requestAnimationFrame(() => {
      this.theme = null;
      this.figures().forEach(figure => this.frames.add(figure, this.inSight.has(figure), false));
    });
  }

  private figures(): PlotFigure[] {
    return [...this.tiles.values()].map(tile => tile.figure);
  }
}

function lookOf(source: PlotSource): Look {
  const { axis, log_x, log_y } = source.options();
  // The logarithm of the time of day means nothing.
  return { axis, logX: log_x && axis !== 'clock', logY: log_y };
}

/** Draws charts, each at most once a frame. */
class Frames {
  private readonly urgent = new Set<PlotFigure>();
  private readonly waiting = new Set<PlotFigure>();
  /** Nobody sees them now: they have time until nothing else is to be drawn. */
  private readonly unseen = new Set<PlotFigure>();
  private awaited = 0;
  private isBusy = false;

  add(figure: PlotFigure, isInSight: boolean, now: boolean): void {
    if (now && isInSight) {
      if (this.urgent.size === 0) {
        // In the frame that this is part of, after all else that the same move changes.
        queueMicrotask(() => this.drawUrgent());
      }
      this.urgent.add(figure);
    } else {
      (isInSight ? this.waiting : this.unseen).add(figure);
      this.awaitFrame();
    }
  }

  /** It has come in sight. */
  hurry(figure: PlotFigure): void {
    if (this.unseen.delete(figure)) {
      this.add(figure, true, true);
    }
  }

  stop(): void {
    cancelAnimationFrame(this.awaited);
    [this.urgent, this.waiting, this.unseen].forEach(figures => figures.clear());
  }

  private drawUrgent(): void {
    this.isBusy = true;
    for (const figure of this.urgent) {
      this.waiting.delete(figure);
      figure.draw();
    }
    this.urgent.clear();
  }

  private awaitFrame(): void {
    this.awaited ||= requestAnimationFrame(() => {
      this.awaited = 0;
      this.drawSome();
    });
  }

  private drawSome(): void {
    const until = performance.now() + BUDGET;
    const figures = this.waiting.size > 0 || this.isBusy ? this.waiting : this.unseen;
    this.isBusy = false;
    for (const figure of figures) {
      figures.delete(figure);
      figure.draw();
      if (performance.now() > until) {
        break;
      }
    }
    if (this.waiting.size + this.unseen.size > 0) {
      this.awaitFrame();
    }
  }
}
