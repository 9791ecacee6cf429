import { element } from '../dom';
import { bytes, count, moment } from '../format';
import type { RunFile, RunFiles } from '../protocol';
import { button, setShown, setText, signButton } from './controls';
import { Download, words } from './download';
import type { Notices } from './notices';
import type { Part } from './part';
import { previewOf } from './preview';
import type { Session } from './session';
import { trans, waiting } from './words';

// Folders with more than this begin closed.
const FEW = 50;

/** The files that the run left, as a tree of folders, with a preview of the one that is chosen. */
export class FilesView implements Part {
  readonly node = element('div', { class: 'aml-v-files' });
  private readonly tree = element('div', {
    ...{ class: 'aml-v-tree', role: 'group', 'aria-label': trans.__('Files') }
  });
  private readonly preview = element('section', {
    ...{ class: 'aml-v-preview', 'aria-label': trans.__('Preview'), hidden: '' }
  });
  private readonly download: Download;
  private readonly toggled = new Map<string, boolean>();
  private drawn = '';
  private chosen = '';
  private previewing = new AbortController();

  constructor(
    private readonly session: Session,
    notices: Notices,
    signal: AbortSignal
  ) {
    this.download = new Download(session, notices, signal);
    this.node.append(this.download.node, this.tree, this.preview);
    session.onTold('files', told => told.files && this.draw(told.files), signal);
    session.onOtherRun(() => this.reset(), signal);
    signal.addEventListener('abort', () => this.previewing.abort());
  }

  open(): void {
    const files = this.session.answer('files')?.files;
    if (files === undefined) {
      this.tree.replaceChildren(element('p', { class: 'aml-v-muted' }, waiting()));
    } else {
      this.draw(files);
    }
    this.refresh();
  }

  refresh(): void {
    this.session.ask({ kind: 'files' });
  }

  private reset(): void {
    this.drawn = '';
    this.toggled.clear();
    this.closePreview();
  }

  private draw(files: RunFiles): void {
    const drawn = JSON.stringify(files);
    if (drawn === this.drawn) {
      return;
    }
    this.drawn = drawn;
    const focused = this.tree.contains(document.activeElement) ? document.activeElement : null;
    const path = focused?.getAttribute('data-path');
    const more = files.more > 0 ? trans.__('%1 more files are not listed.', count(files.more)) : '';
    const empty = files.files.length === 0 ? trans.__('The run has left no files yet.') : '';
    this.tree.replaceChildren(
      ...this.entries(folderOf(files.files)),
      element('p', { class: 'aml-v-muted' }, more || empty)
    );
    // The tree is drawn anew while a run goes on; a reader at the keyboard stays where they were.
    const again = [...this.tree.querySelectorAll<HTMLElement>('[data-path]')];
    again.find(node => path && node.dataset.path === path)?.focus();
  }

  private entries(folder: Folder): HTMLElement[] {
    const folders = [...folder.folders.values()].map(inner => this.folder(inner));
    return [...folders, ...folder.files.map(file => this.file(file))];
  }

  private folder(folder: Folder): HTMLElement {
    const words = `${count(folder.count)} · ${bytes(folder.size)}`;
    const size = element('span', { class: 'aml-v-muted' }, words);
    const name = element('span', { class: 'aml-v-name' }, `${folder.name}/`);
    const made = element('details', { class: 'aml-v-folder' });
    made.append(element('summary', { 'data-path': `${folder.path}/` }, name, size));
    // Thousands of files are drawn when somebody looks at them.
    const fill = (): void => {
      if (made.open && made.childElementCount === 1) {
        made.append(element('div', { class: 'aml-v-inside' }, ...this.entries(folder)));
      }
    };
    made.open = this.toggled.get(folder.path) ?? folder.count <= FEW;
    made.addEventListener('toggle', () => {
      this.toggled.set(folder.path, made.open);
      fill();
    });
    fill();
    return made;
  }

  private file(file: RunFile): HTMLElement {
    const name = file.path.split('/').pop() ?? file.path;
    const made = element(
      'button',
      {
        ...{ type: 'button', class: 'aml-v-choice aml-v-file' },
        ...{ 'data-path': file.path, title: file.path }
      },
      element('span', { class: 'aml-v-name' }, name),
      element('span', { class: 'aml-v-muted aml-v-when' }, moment(file.modified)),
      element('span', { class: 'aml-v-muted aml-v-number' }, bytes(file.size))
    );
    made.setAttribute('aria-pressed', String(file.path === this.chosen));
    made.addEventListener('click', () => void this.choose(file));
    return made;
  }

  private async choose(file: RunFile): Promise<void> {
    this.closePreview();
    this.chosen = file.path;
    this.markChosen();
    const { signal } = this.previewing;
    const box = element('div', { class: 'aml-v-preview-box' }, waiting());
    this.preview.replaceChildren(this.previewHead(file), box);
    setShown(this.preview, true);
    try {
      const made = await previewOf(this.session, file.path, file.size, signal);
      box.replaceChildren(made);
    } catch (error) {
      setText(box, words(error));
    }
  }

  private previewHead(file: RunFile): HTMLElement {
    return element(
      'div',
      { class: 'aml-v-bar-row' },
      element('strong', { class: 'aml-v-name' }, file.path),
      element('span', { class: 'aml-v-muted' }, `${bytes(file.size)}, ${moment(file.modified)}`),
      element('span', { class: 'aml-v-spring' }),
      button(trans.__('Download'), () => void this.download.start(file.path, file.size)),
      signButton('×', trans.__('Close the preview'), () => this.closePreview())
    );
  }

  private closePreview(): void {
    this.previewing.abort();
    this.previewing = new AbortController();
    this.chosen = '';
    this.markChosen();
    setShown(this.preview, false);
  }

  private markChosen(): void {
    for (const node of this.tree.querySelectorAll<HTMLElement>('.aml-v-file')) {
      node.setAttribute('aria-pressed', String(node.dataset.path === this.chosen));
    }
  }
}

/** A folder of files, with how many there are in it and how large they are, all together. */
interface Folder {
  readonly name: string;
  readonly path: string;
  readonly folders: Map<string, Folder>;
  readonly files: RunFile[];
  count: number;
  size: number;
}

function emptyFolder(name: string, path: string): Folder {
  return { name, path, folders: new Map(), files: [], count: 0, size: 0 };
}

function folderOf(files: readonly RunFile[]): Folder {
  const root = emptyFolder('', '');
  for (const file of files) {
    let folder = root;
    for (const name of file.path.split('/').slice(0, -1)) {
      const path = folder.path === '' ? name : `${folder.path}/${name}`;
      const inner = folder.folders.get(name) ?? emptyFolder(name, path);
      folder.folders.set(name, inner);
      inner.count += 1;
      inner.size += file.size;
      folder = inner;
    }
    folder.files.push(file);
  }
  return root;
}
