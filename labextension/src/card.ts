import type { TranslationBundle } from '@jupyterlab/translation';

import { chartOf } from './chart';
import { element } from './dom';
import { duration, moment, number } from './format';
import type { CardRow, CardTable, MetricSeries, RunCard, RunError } from './protocol';
import { lookOf, signOf, type StateLook } from './states';

// A notebook may come from anybody: what it holds is drawn, but never without bound.
const MAX_CHARTS = 8;
const MAX_VALUES = 100;
const MAX_LOG_LINES = 400;
const MAX_ROWS = 200;
const MAX_COLUMNS = 20;
const MAX_LOG_CHARACTERS = 100_000;

/** The whole card of one run as it stood when its notebook was saved. */
export function cardOf(run: RunCard, trans: TranslationBundle): HTMLElement {
  const look = lookOf(run.status, trans);
  const title = run.display_name || run.id;
  return element(
    'article',
    {
      class: `aml-RunCard aml-mod-${look.tone}`,
      'aria-label': trans.__('Run %1', title)
    },
    header(title, look),
    facts(run, trans),
    run.error ? errorBox(run.error, trans) : null,
    run.notebooks ? notebooks(run.notebooks, trans) : null,
    charts(run.metrics.slice(0, MAX_CHARTS), trans),
    furtherValues(run.metrics.slice(MAX_CHARTS), trans),
    run.log_tail ? log(run.log_tail, trans) : null
  );
}

function header(title: string, look: StateLook): HTMLElement {
  return element(
    'header',
    { class: 'aml-RunCard-header' },
    element('h3', { class: 'aml-RunCard-title' }, title),
    element('span', { class: 'aml-State', role: 'status' }, signOf(look), look.label)
  );
}

function facts(run: RunCard, trans: TranslationBundle): HTMLElement {
  return element(
    'dl',
    { class: 'aml-Facts' },
    fact(trans.__('Experiment'), run.experiment),
    fact(trans.__('Target'), run.target),
    run.started === null ? null : fact(trans.__('Started'), moment(run.started)),
    run.started === null || run.ended === null
      ? null
      : fact(trans.__('Duration'), duration(run.ended - run.started)),
    fact(trans.__('Id'), copyable(run.id, trans))
  );
}

function fact(name: string, value: string | Node): HTMLElement {
  return element(
    'div',
    { class: 'aml-Fact' },
    element('dt', {}, name),
    element('dd', {}, value)
  );
}

function copyable(id: string, trans: TranslationBundle): HTMLElement {
  const code = element('code', { class: 'aml-RunId' }, id);
  return element('span', {}, code, copyButton(code, trans.__('Copy run id'), trans));
}

/** A button that copies `text`, or what stands in `source`. */
export function copyButton(
  source: HTMLElement,
  label: string,
  trans: TranslationBundle,
  text: string = source.textContent ?? ''
): HTMLElement {
  const words = trans.__('Copy');
  const button = element(
    'button',
    { class: 'aml-Copy', type: 'button', 'aria-label': label },
    words
  );
  button.addEventListener('click', () => {
    void copy(source, text).then(copied => {
      button.textContent = copied ? trans.__('Copied') : words;
      window.setTimeout(() => (button.textContent = words), 1500);
    });
  });
  return button;
}

async function copy(source: HTMLElement, text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers keep the clipboard from pages that came over plain HTTP: leave the source selected instead.
    window.getSelection()?.selectAllChildren(source);
    return false;
  }
}

function errorBox(error: RunError, trans: TranslationBundle): HTMLElement {
  return element(
    'div',
    { class: 'aml-Error', role: 'group', 'aria-label': trans.__('Error') },
    element('strong', {}, trans.__('Error')),
    element('pre', {}, error.message.slice(0, MAX_LOG_CHARACTERS))
  );
}

function notebooks(table: CardTable, trans: TranslationBundle): HTMLElement {
  const titles = table.columns.slice(0, MAX_COLUMNS);
  const rows = table.rows.slice(0, MAX_ROWS);
  const more = table.more + table.rows.length - rows.length;
  const head = titles.map(title => element('th', { scope: 'col' }, title));
  return element(
    'section',
    { class: 'aml-Notebooks', 'aria-label': trans.__('Notebooks') },
    element('strong', {}, table.title),
    element(
      'div',
      { class: 'aml-Notebooks-table', tabindex: '0' },
      element(
        'table',
        {},
        element('thead', {}, element('tr', {}, ...head)),
        element('tbody', {}, ...rows.map(row => notebook(row, trans)))
      )
    ),
    more > 0 ? element('p', {}, trans.__('%1 more are not listed.', more)) : null
  );
}

function notebook(row: CardRow, trans: TranslationBundle): HTMLElement {
  const cells = row.cells.slice(0, MAX_COLUMNS).map(cell => element('td', {}, cell));
  return element('tr', { class: `aml-mod-${lookOf(row.status, trans).tone}` }, ...cells);
}

function charts(
  metrics: readonly MetricSeries[],
  trans: TranslationBundle
): HTMLElement | null {
  if (metrics.length === 0) {
    return null;
  }
  return element(
    'section',
    { class: 'aml-Charts', 'aria-label': trans.__('Metrics') },
    ...metrics.map(series => chartOf(series, trans))
  );
}

function furtherValues(
  metrics: readonly MetricSeries[],
  trans: TranslationBundle
): HTMLElement | null {
  if (metrics.length === 0) {
    return null;
  }
  return element(
    'details',
    { class: 'aml-More' },
    element('summary', {}, trans._n('%1 more metric', '%1 more metrics', metrics.length)),
    element(
      'dl',
      { class: 'aml-Facts' },
      ...metrics
        .slice(0, MAX_VALUES)
        .map(series => fact(series.name, number(series.last)))
    )
  );
}

function log(text: string, trans: TranslationBundle): HTMLElement {
  const scroller = element(
    'div',
    {
      class: 'aml-Log-text',
      role: 'log',
      'aria-live': 'off',
      'aria-label': trans.__('End of the log'),
      // Scrollable by keyboard, too.
      tabindex: '0'
    },
    element('pre', {}, lastLines(text))
  );
  return element(
    'details',
    { class: 'aml-Log', open: '' },
    element('summary', {}, trans.__('Log')),
    scroller
  );
}

function lastLines(text: string): string {
  const lines = text.slice(-MAX_LOG_CHARACTERS).trimEnd().split('\n');
  return lines.slice(-MAX_LOG_LINES).join('\n');
}
