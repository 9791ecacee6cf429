// A page of charts without Jupyter: the grid as it is, and a source that knows functions, answers a
// little later as a server does, and remembers what it was asked.
import { ParallelPlot, PlotGrid, ScatterPlot } from '/lib/plot/index';

const COLOURS = ['#1a7ec2', '#d55e00', '#009e73', '#c4659f'];
const DELAY = 20;

const plainOptions = {
  ...{ filter: '', axis: 'step', log_x: false, log_y: false, smoothing: 0 },
  ...{ grouping: 'each', most: 1000, zoomed: false }
};

// Of the points of a range in each column the lowest and the highest, and their mean.
function decimated(points, columns, low, high) {
  const line = { x: [], y: [], meanX: [], meanY: [], gapX: [], kinds: [], exact: true };
  const span = (high - low) / columns || 1;
  let at = points.findIndex(([x]) => x >= low);
  while (at >= 0 && at < points.length && points[at][0] <= high) {
    const column = Math.floor((points[at][0] - low) / span);
    const own = [];
    while (at < points.length && points[at][0] <= high && Math.floor((points[at][0] - low) / span) === column) {
      own.push(points[at++]);
    }
    addColumn(line, own);
  }
  return line;
}

function addColumn(line, own) {
  const finite = own.filter(([, y]) => Number.isFinite(y));
  const ordered = [...finite].sort((one, other) => one[1] - other[1]);
  const ends = new Set([ordered[0], ordered[ordered.length - 1]]);
  line.exact &&= finite.length <= 2;
  for (const [x, y] of own) {
    if (!Number.isFinite(y)) {
      line.gapX.push(x);
      line.kinds.push(Number.isNaN(y) ? 0 : Math.sign(y));
    }
  }
  for (const point of own.filter(one => ends.has(one) || !Number.isFinite(one[1]))) {
    line.x.push(point[0]);
    line.y.push(Number.isFinite(point[1]) ? point[1] : NaN);
  }
  if (finite.length > 0) {
    line.meanX.push(finite.reduce((sum, [x]) => sum + x, 0) / finite.length);
    line.meanY.push(finite.reduce((sum, [, y]) => sum + y, 0) / finite.length);
  }
}

/** Charts of functions: `{title, lines: [{label, count, value: step => number}]}`. */
class Functions {
  asked = [];
  sent = 0;
  listening = { charts: [], options: [], plot: [], forgotten: [] };

  constructor(charts, options = {}) {
    this.all = charts;
    this.settings = { ...plainOptions, ...options };
    this.began = 1_700_000_000;
  }

  charts() {
    const figures = this.all.map(({ title }) => ({ model: title, title }));
    const count = figures.length;
    return { metrics: count, matching: count, charts: count, drawn: count, reading: 1, figures };
  }

  options() {
    return this.settings;
  }

  setOptions(changes) {
    this.settings = { ...this.settings, ...changes };
    this.listening.options.forEach(listener => listener());
  }

  setZoomed(zoomed) {
    this.setOptions({ zoomed });
  }

  setCharts(charts) {
    this.all = charts;
    this.listening.charts.forEach(listener => listener());
  }

  ask({ plots }) {
    this.asked.push(plots);
    setTimeout(() => plots.forEach(plot => this.answer(plot)), DELAY);
    return true;
  }

  /** Send what is on screen again, as when more has been logged. */
  renew() {
    this.asked.at(-1)?.forEach(plot => this.answer(plot));
  }

  answer({ key, columns, low, high }) {
    const chart = this.all.find(({ title }) => title === key);
    if (!chart) {
      return;
    }
    const numbers = [];
    const lines = chart.lines.map((own, nth) => {
      const line = this.line(own, columns, low, high);
      numbers.push(...line.x, ...line.y, ...line.meanX, ...line.meanY, ...line.gapX, ...line.kinds);
      return this.said(own, nth, line);
    });
    const buffer = new DataView(Float64Array.from(numbers).buffer);
    const data = { key, axis: this.settings.axis, low, high, lines };
    this.sent += 1;
    this.listening.plot.forEach(listener => listener(data, buffer));
  }

  // Of a range there is as much again beside it, as from the server.
  line(own, columns, low, high) {
    const points = this.points(own);
    if (low === null) {
      return decimated(points, columns, points[0][0], points.at(-1)[0]);
    }
    const more = (high - low) / 2;
    return decimated(points, 2 * columns, low - more, high + more);
  }

  points({ count, value }) {
    const { axis } = this.settings;
    const zero = axis === 'clock' ? this.began : 0;
    const place = axis === 'step' ? step => step : step => zero + step;
    return Array.from({ length: count }, (_, step) => [place(step), value(step)]);
  }

  said({ label, count, value, dash = 'solid' }, nth, line) {
    const last = value(count - 1);
    return {
      ...{ label, run: 'run', metric: label, colour: COLOURS[nth % COLOURS.length], dash, count },
      ...{ last: Number.isFinite(last) ? last : null, exact: line.exact },
      ...{ points: line.x.length, means: line.meanX.length, gaps: line.gapX.length }
    };
  }

  onCharts(listener) {
    this.listening.charts.push(listener);
  }

  onOptions(listener) {
    this.listening.options.push(listener);
  }

  onPlot(listener) {
    this.listening.plot.push(listener);
  }

  onForgotten(listener) {
    this.listening.forgotten.push(listener);
  }
}

/** Put a grid of such charts into the page. */
window.showCharts = (charts, options) => {
  window.ending?.abort();
  window.ending = new AbortController();
  window.source = new Functions(charts, options);
  window.grid = new PlotGrid(window.source, window.ending.signal);
  document.body.replaceChildren(window.grid.together, window.grid.node);
};

/** Many runs: two parameters that are numbers, one that is words, and so many metrics. */
window.runsOf = (count, metrics) => {
  const runs = Array.from({ length: count }, (_, run) => run);
  const at = (run, nth) => (Math.sin(run * 12.9898 + nth * 78.233) * 43758.5453) % 1;
  const columns = [
    { name: 'learning_rate', kind: 'parameter', values: runs.map(run => 10 ** (-1 - (run % 50) / 10)) },
    { name: 'layers', kind: 'parameter', values: runs.map(run => 1 + (run % 7)) },
    { name: 'optimizer', kind: 'parameter', values: runs.map(run => ['sgd', 'adam', 'lion'][run % 3]) }
  ];
  for (let nth = 0; nth < metrics; nth++) {
    const value = run => (run % 17 === 3 ? null : nth + at(run, nth) / 2 + (run % 7) / 4);
    columns.push({ name: `metric/${nth}`, kind: 'metric', values: runs.map(value) });
  }
  return {
    columns,
    labels: runs.map(run => `run ${run}`),
    ids: runs.map(run => `id${run}`),
    colours: runs.map(run => COLOURS[run % COLOURS.length])
  };
};

/** Put a plot of many runs into the page, and note what becomes of them. */
window.showRuns = (kind, table) => {
  window.ending?.abort();
  window.ending = new AbortController();
  window.heard = { pointed: null, chosen: null, opened: null, choice: null };
  const listener = {
    pointed: id => (window.heard.pointed = id),
    chosen: ids => (window.heard.chosen = ids),
    opened: id => (window.heard.opened = id)
  };
  const Kind = { parallel: ParallelPlot, scatter: ScatterPlot }[kind];
  window.runs = new Kind(listener, choice => (window.heard.choice = choice), window.ending.signal);
  document.body.replaceChildren(window.runs.node);
  window.runs.show(table);
};
window.isReady = true;
