import type { TranslationBundle } from '@jupyterlab/translation';

/** Whoever translates. */
export type Words = Pick<TranslationBundle, '__' | '_n'>;

// The browser half of a widget has no translator to ask: its words are English.
let current: Words = {
  __: (text: string, ...values: unknown[]) => filled(text, values),
  _n: (one: string, several: string, number: number, ...values: unknown[]) =>
    filled(number === 1 ? one : several, [number, ...values])
};
let asksServer = false;

/** The words of the view, in the language of the page that it is on. */
export const trans: Words = {
  __: (text: string, ...values: unknown[]) => current.__(text, ...values),
  _n: (one: string, several: string, number: number, ...values: unknown[]) =>
    current._n(one, several, number, ...values)
};

/** Speak a page's language from now on; it asks the server, and no kernel. */
export function speakAsPage(words: Words): void {
  current = words;
  asksServer = true;
}

/** What stands where an answer will. */
export function waiting(): string {
  return asksServer ? trans.__('Waiting for the server…') : trans.__('Waiting for the kernel…');
}

/** That nobody is there to do what was asked for. */
export function nobodyFor(what: string): string {
  return asksServer
    ? trans.__('The server does not answer: “%1” needs it.', what)
    : trans.__('There is no kernel: “%1” needs one.', what);
}

/** That whoever should answer is slow. */
export function busyWith(what: string): string {
  return asksServer
    ? trans.__('The server is busy; “%1” will be done when it is free.', what)
    : trans.__('The kernel is busy; “%1” will be done when it is free.', what);
}

function filled(text: string, values: readonly unknown[]): string {
  return text.replace(/%(\d)/g, (mark, at) => String(values[Number(at) - 1] ?? mark));
}
