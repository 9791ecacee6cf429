import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { PageConfig } from '@jupyterlab/coreutils';

/** What the live view asks for when a link in a traceback is clicked. */
export const OPEN_FILE_EVENT = 'aml:open-file';

/** Opens files that tracebacks name, if they lie below the folder that the server shows. */
export const openFilePlugin: JupyterFrontEndPlugin<void> = {
  id: 'aml-jupyter:open-file',
  description: 'Opens the file and line of a traceback shown in the view of a run.',
  autoStart: true,
  activate: (app: JupyterFrontEnd) => {
    window.addEventListener(OPEN_FILE_EVENT, event => {
      const place = placeOf((event as CustomEvent<unknown>).detail);
      if (place !== null) {
        event.preventDefault();
        void open(app, place);
      }
    });
  }
};

interface Place {
  /** Relative to the folder that the server shows. */
  readonly path: string;
  /** Counted from 1. */
  readonly line: number;
}

function placeOf(detail: unknown): Place | null {
  const asked = detail as { path?: unknown; line?: unknown } | null;
  const path = typeof asked?.path === 'string' ? shownPath(asked.path) : null;
  const line = Number(asked?.line);
  return path === null ? null : { path, line: line >= 1 ? Math.floor(line) : 1 };
}

/** The path as the server knows it, or `null` for a file that it does not show. */
function shownPath(path: string): string | null {
  for (const root of serverRoots()) {
    if (path.startsWith(root)) {
      const shown = path.slice(root.length);
      return isShown(shown.split('/')) ? shown : null;
    }
  }
  return null;
}

function isShown(parts: readonly string[]): boolean {
  const showsHidden = PageConfig.getOption('allow_hidden_files') === 'true';
  return parts.every(
    part => part !== '' && part !== '..' && part !== '.' && (showsHidden || !part.startsWith('.'))
  );
}

/** The folder that the server shows, each way it is told to us, with a slash at its end. */
function serverRoots(): string[] {
  const roots: string[] = [];
  // JupyterLab gives it as it was configured, perhaps from `~` on; its language servers are told all of it.
  const uri = PageConfig.getOption('rootUri');
  if (uri.startsWith('file:///')) {
    roots.push(decodeURIComponent(new URL(uri).pathname));
  }
  const root = PageConfig.getOption('serverRoot');
  if (root.startsWith('/')) {
    roots.push(root);
  }
  return roots.map(folder => folder.replace(/\/*$/, '/'));
}

async function open(app: JupyterFrontEnd, place: Place): Promise<void> {
  const opened: unknown = await app.commands.execute('docmanager:open', {
    path: place.path,
    factory: 'Editor'
  });
  // Notebook 7 opens files in a window of their own, where they begin at the top.
  const editor = opened as { setFragment?: (fragment: string) => unknown } | undefined;
  await editor?.setFragment?.(`#line=${place.line - 1}`);
}
