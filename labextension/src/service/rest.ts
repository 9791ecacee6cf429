import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { Problem } from '../api';
import { ServerError, pathOf, type Query } from '../tokens';
import type { Words } from '../states';

/** Where the REST interface lies below the server's base address. */
export const API_PATH = 'aml/api';

/** Asks the REST interface; token, XSRF mark and base address are those of all JupyterLab. */
export class Rest {
  constructor(
    readonly settings: ServerConnection.ISettings,
    private readonly trans: Words
  ) {}

  /** The answer to a question; whatever stands in its way becomes a `ServerError`. */
  async ask<Answer>(path: string, query: Query, init: RequestInit): Promise<Answer> {
    const response = await this.respond(addressOf(this.settings, path, query), init);
    const text = await response.text();
    if (!response.ok) {
      throw new ServerError(this.problemOf(response, text), response.status);
    }
    return parsed<Answer>(text) ?? fail(this.unreadable(), response.status);
  }

  fileUrl(place: string, run: string, path: string, download: boolean): string {
    const file = `${pathOf('file', place, run)}/${URLExt.encodeParts(path)}`;
    return addressOf(this.settings, file, download ? { download: 1 } : {});
  }

  private async respond(url: string, init: RequestInit): Promise<Response> {
    try {
      return await ServerConnection.makeRequest(url, init, this.settings);
    } catch (error) {
      // JupyterLab makes a network error of this, too.
      init.signal?.throwIfAborted();
      const message = this.trans.__('The Jupyter server does not answer.');
      const hint = this.trans.__('See whether it still runs, and whether the network is there.');
      return fail({ message, hint }, 0);
    }
  }

  private problemOf(response: Response, text: string): Problem {
    const { trans } = this;
    const body = parsed<Partial<Problem>>(text);
    if (response.status === 404 && body === undefined) {
      // The answer of a server that knows no such route.
      return {
        message: trans.__("The server's half of aml_jupyter does not answer."),
        hint: trans.__(
          'Install aml_jupyter where the Jupyter server runs, let `jupyter server extension enable aml_jupyter` enable it, and restart the server.'
        )
      };
    }
    if (response.status === 401 || response.status === 403) {
      return {
        message: body?.message ?? trans.__('The Jupyter server does not allow this.'),
        hint: body?.hint ?? trans.__('Log in to the server anew, and reload the page.')
      };
    }
    const message = trans.__(
      'The Jupyter server answered: %1',
      `${response.status} ${response.statusText}`.trim()
    );
    return { message: body?.message ?? message, hint: body?.hint ?? '' };
  }

  private unreadable(): Problem {
    const message = this.trans.__('The Jupyter server answered something that is no JSON.');
    return { message, hint: this.trans.__('See whether a proxy stands before it.') };
  }
}

/** The address of something of the interface. */
export function addressOf(
  settings: ServerConnection.ISettings,
  path: string,
  query: Query
): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const asked = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  const address = URLExt.join(settings.baseUrl, API_PATH, path);
  return String(asked) !== '' ? `${address}?${asked}` : address;
}

function parsed<Found>(text: string): Found | undefined {
  try {
    return JSON.parse(text) as Found;
  } catch {
    return undefined;
  }
}

function fail(problem: Problem, status: number): never {
  throw new ServerError(problem, status);
}
