import { element } from '../dom';
import { lookOf, signOf, type StateLook } from '../states';
import { trans } from './words';

const CONFIRMED = 1500;

let ids = 0;
const PREFIX = `aml-${Math.random().toString(36).slice(2, 8)}`;

/** An id that nothing else in the page has. */
export function newId(): string {
  return `${PREFIX}-${++ids}`;
}

/** Change a node's text; what is right stays untouched, and with it a reader's selection. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** Show or hide an element. */
export function setShown(node: HTMLElement, shown: boolean): void {
  node.hidden = !shown;
}

/** A button with words on it. */
export function button(words: string, onClick: () => void, kind = ''): HTMLButtonElement {
  const made = element('button', { type: 'button', class: `aml-v-button ${kind}`.trim() }, words);
  made.addEventListener('click', onClick);
  return made;
}

/** A button with a sign on it; its words are for screen readers and a mouse that rests on it. */
export function signButton(sign: string, words: string, onClick: () => void): HTMLButtonElement {
  const made = button(sign, onClick, 'aml-v-sign');
  made.setAttribute('aria-label', words);
  made.title = words;
  return made;
}

/** A button that stays pressed. */
export function toggle(words: string, onChange: (pressed: boolean) => void): HTMLButtonElement {
  const made = button(words, () => {
    setPressed(made, made.getAttribute('aria-pressed') !== 'true');
    onChange(made.getAttribute('aria-pressed') === 'true');
  });
  made.setAttribute('aria-pressed', 'false');
  return made;
}

/** Press a toggle or let it go, without telling anybody. */
export function setPressed(made: HTMLButtonElement, pressed: boolean): void {
  made.setAttribute('aria-pressed', String(pressed));
}

/** A choice of one among a few: pairs of value and words. */
export function choice<Value extends string>(
  label: string,
  options: readonly (readonly [Value, string])[],
  onChange: (value: Value) => void
): HTMLSelectElement {
  const made = element('select', { class: 'aml-v-select', 'aria-label': label, title: label });
  fillChoice(made, options);
  made.addEventListener('change', () => onChange(made.value as Value));
  return made;
}

/** Give a choice other options; the one that is chosen stays so if it can. */
export function fillChoice(
  made: HTMLSelectElement,
  options: readonly (readonly [string, string])[]
): void {
  const chosen = made.value;
  made.replaceChildren(...options.map(([value, words]) => element('option', { value }, words)));
  if (options.some(([value]) => value === chosen)) {
    made.value = chosen;
  }
}

/** A field for text to look for; Enter and Escape are the owner's. */
export function searchField(label: string, onInput: (text: string) => void): HTMLInputElement {
  const made = element('input', {
    type: 'search',
    class: 'aml-v-input',
    placeholder: label,
    'aria-label': label,
    spellcheck: 'false',
    autocomplete: 'off'
  });
  made.addEventListener('input', () => onInput(made.value));
  // The keys of a notebook (`d d` deletes a cell) must not hear what is typed here.
  made.addEventListener('keydown', event => event.stopPropagation());
  return made;
}

/** `run` after a pause of `wait` milliseconds in which it was not called again. */
export function debounced<Value>(
  run: (value: Value) => void,
  wait: number,
  signal: AbortSignal
): (value: Value) => void {
  let timer = 0;
  signal.addEventListener('abort', () => window.clearTimeout(timer));
  return value => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => run(value), wait);
  };
}

/** Call `run` every `milliseconds` while the page can be seen. */
export function every(milliseconds: number, run: () => void, signal: AbortSignal): void {
  const timer = window.setInterval(() => {
    if (document.visibilityState === 'visible') {
      run();
    }
  }, milliseconds);
  signal.addEventListener('abort', () => window.clearInterval(timer));
}

/** Put a text on the clipboard; whether the browser let us. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

// Browsers keep the clipboard's interface from pages that came over plain HTTP.
function copyBySelection(text: string): boolean {
  const field = element('textarea', { class: 'aml-v-offscreen', 'aria-hidden': 'true' });
  const focused = document.activeElement;
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  if (focused instanceof HTMLElement) {
    focused.focus({ preventScroll: true });
  }
  return copied;
}

/** A button that copies a text, and says that it has. */
export function copyButton(words: string, label: string, text: () => string): HTMLButtonElement {
  const made = button(words, () => void copy(), 'aml-v-copy');
  made.setAttribute('aria-label', label);
  const copy = async (): Promise<void> => {
    setText(made, (await copyText(text())) ? trans.__('Copied') : trans.__('Could not copy'));
    window.setTimeout(() => setText(made, words), CONFIRMED);
  };
  return made;
}

/** How a v1 state looks. */
export function look(status: string): StateLook {
  return lookOf(status, trans);
}

/** The sign and the name of a v1 state. */
export function stateMark(status: string): HTMLElement {
  const seen = look(status);
  return element('span', { class: `aml-v-state aml-v-${seen.tone}` }, signOf(seen), seen.label);
}
