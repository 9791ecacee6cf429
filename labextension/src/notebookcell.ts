import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Panel, Widget } from '@lumino/widgets';

import { element } from './dom';

type Text = string | readonly string[];
type Data = Record<string, unknown>;

/** A cell as a notebook's file has it; nothing of it can be relied on. */
export interface Cell {
  readonly cell_type?: unknown;
  readonly source?: Text;
  readonly execution_count?: unknown;
  readonly outputs?: readonly Output[];
}

interface Output {
  readonly output_type?: string;
  readonly name?: string;
  readonly text?: Text;
  readonly data?: Data;
  readonly traceback?: readonly string[];
  readonly ename?: string;
  readonly evalue?: string;
}

/** A cell of a notebook that is read; it is drawn anew where it has changed. */
export class NotebookCell extends Panel {
  private readonly prompt = element('div', { class: 'aml-Executed-prompt' });
  private readonly source = new Panel();
  private readonly outputs = new Panel();
  private drawnSource = '';
  private drawnOutputs: string[] = [];

  constructor(
    private readonly rendermime: IRenderMimeRegistry,
    private readonly trans: TranslationBundle,
    private readonly language: string
  ) {
    super();
    this.addClass('aml-Executed-cell');
    this.outputs.addClass('aml-Executed-outputs');
    const inside = new Panel();
    inside.addClass('aml-Executed-inside');
    inside.addWidget(this.source);
    inside.addWidget(this.outputs);
    this.addWidget(new Widget({ node: this.prompt }));
    this.addWidget(inside);
  }

  /** Show the cell as it is now. */
  draw(cell: Cell): void {
    const isCode = cell.cell_type === 'code';
    const number = typeof cell.execution_count === 'number' ? cell.execution_count : ' ';
    this.prompt.textContent = isCode ? `[${number}]:` : '';
    this.drawSource(textOf(cell.source), isCode, cell.cell_type === 'markdown');
    this.drawOutputs(isCode && Array.isArray(cell.outputs) ? cell.outputs : []);
  }

  private drawSource(text: string, isCode: boolean, isMarkdown: boolean): void {
    const drawn = `${isCode} ${text}`;
    if (drawn !== this.drawnSource) {
      this.drawnSource = drawn;
      this.source.toggleClass('aml-Executed-code', isCode);
      clear(this.source);
      if (text.trim() !== '') {
        const data = isMarkdown
          ? { 'text/markdown': text }
          : isCode
            ? { 'text/markdown': fenced(text, this.language) }
            : { 'text/plain': text };
        this.source.addWidget(this.rendered(data));
      }
    }
  }

  /** Outputs in front of the first one that has changed stay. */
  private drawOutputs(outputs: readonly Output[]): void {
    const seen = outputs.map(output => JSON.stringify(output));
    let same = 0;
    while (same < seen.length && seen[same] === this.drawnOutputs[same]) {
      same++;
    }
    this.drawnOutputs = seen;
    const height = this.outputs.node.offsetHeight;
    if (same < this.outputs.widgets.length) {
      // What is below must not jump while the output is drawn.
      this.outputs.node.style.minHeight = `${height}px`;
      this.outputs.widgets.slice(same).forEach(widget => widget.dispose());
    }
    const drawing = outputs.slice(same).map(output => this.add(output));
    void Promise.allSettled(drawing).then(() => (this.outputs.node.style.minHeight = ''));
  }

  private add(output: Output): Promise<void> {
    const data = dataOf(output);
    const [made, done] = this.renderedSoon(data);
    made.addClass('aml-Executed-output');
    made.toggleClass('aml-mod-error', output.output_type === 'error' || output.name === 'stderr');
    this.outputs.addWidget(made);
    return done;
  }

  private rendered(data: Data): Widget {
    return this.renderedSoon(data)[0];
  }

  private renderedSoon(data: Data): [Widget, Promise<void>] {
    const picture = svgOf(data);
    if (picture !== null) {
      return [new Widget({ node: picture }), Promise.resolve()];
    }
    // What a job left is not trusted: only what needs no trust is drawn, and HTML is sanitised.
    const mime = this.rendermime.preferredMimeType(data as never, 'ensure');
    if (mime === undefined) {
      const words = this.trans.__('This output cannot be shown here.');
      return [new Widget({ node: element('p', {}, words) }), Promise.resolve()];
    }
    const made: IRenderMime.IRenderer = this.rendermime.createRenderer(mime);
    const model = this.rendermime.createModel({ data: data as never, trusted: false });
    return [made, made.renderModel(model)];
  }
}

function clear(panel: Panel): void {
  [...panel.widgets].forEach(widget => widget.dispose());
}

function textOf(text: Text | undefined): string {
  if (typeof text === 'string') {
    return text;
  }
  return Array.isArray(text) ? text.join('') : '';
}

/** Code as Markdown that draws it in colours; the fence is longer than any within. */
function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map(ticks => ticks.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

function dataOf(output: Output): Data {
  switch (output.output_type) {
    case 'stream': {
      const name = output.name === 'stderr' ? 'stderr' : 'stdout';
      return { [`application/vnd.jupyter.${name}`]: textOf(output.text) };
    }
    case 'error': {
      const words = output.traceback?.join('\n') ?? '';
      return { 'application/vnd.jupyter.stderr': words || `${output.ename}: ${output.evalue}` };
    }
    default:
      return joined(output.data ?? {});
  }
}

/** Texts may be lists of lines in a file. */
function joined(data: Data): Data {
  const pairs = Object.entries(data).map(([mime, value]) => {
    const isLines = Array.isArray(value) && value.every(line => typeof line === 'string');
    return [mime, isLines && !mime.endsWith('json') ? value.join('') : value] as const;
  });
  return Object.fromEntries(pairs);
}

/** An SVG as a picture: as part of the page it could run scripts. */
function svgOf(data: Data): HTMLElement | null {
  const svg = data['image/svg+xml'];
  if (typeof svg !== 'string' || 'image/png' in data || 'text/html' in data) {
    return null;
  }
  return element('img', { src: `data:image/svg+xml,${encodeURIComponent(svg)}`, alt: '' });
}
