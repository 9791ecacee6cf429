import { element } from '../dom';
import type { Fact, FactSection, FactText, RunFacts } from '../protocol';
import { button, copyButton, setShown, signButton } from './controls';
import type { Notices } from './notices';
import type { Part } from './part';
import type { Session } from './session';
import { nobodyFor, trans, waiting } from './words';

/** All that is known about a run beside its numbers; tags can be changed. */
export class FactsView implements Part {
  readonly node = element('div', { class: 'aml-v-facts-view' });
  private readonly sections = element('div', { class: 'aml-v-sections' });
  private readonly texts = element('div', {});
  private readonly tags: Tags;
  private readonly waiting = element('p', { class: 'aml-v-muted' }, waiting());

  constructor(private readonly session: Session, notices: Notices, signal: AbortSignal) {
    this.tags = new Tags(session, notices);
    this.node.append(this.waiting, this.tags.node, this.sections, this.texts);
    session.onTold('facts', told => told.facts && this.draw(told.facts), signal);
    session.onOtherRun(() => this.tags.stopEditing(), signal);
  }

  open(): void {
    const facts = this.session.answer('facts')?.facts;
    this.setKnown(facts !== undefined);
    if (facts !== undefined) {
      this.draw(facts);
    }
    this.refresh();
  }

  refresh(): void {
    this.session.ask({ kind: 'facts' });
  }

  private setKnown(known: boolean): void {
    setShown(this.waiting, !known);
    [this.tags.node, this.sections, this.texts].forEach(node => setShown(node, known));
  }

  private draw(facts: RunFacts): void {
    const drawn = JSON.stringify([facts.sections, facts.texts]);
    this.setKnown(true);
    this.tags.update(facts.tags);
    // What the reader has opened or selected stays as it is when nothing changed.
    if (drawn !== this.node.dataset.drawn) {
      this.node.dataset.drawn = drawn;
      const full = facts.sections.filter(section => section.facts.length > 0);
      this.sections.replaceChildren(...full.map(sectionOf));
      this.texts.replaceChildren(...facts.texts.map(textOf));
    }
  }
}

function sectionOf(section: FactSection): HTMLElement {
  const text = (): string => section.facts.map(({ name, value }) => `${name}: ${value}\n`).join('');
  return element(
    'section',
    { class: 'aml-v-section', 'aria-label': section.title },
    element(
      'div',
      { class: 'aml-v-bar-row' },
      element('strong', {}, section.title),
      element('span', { class: 'aml-v-spring' }),
      copyButton(trans.__('Copy'), trans.__('Copy %1', section.title), text)
    ),
    element(
      'dl',
      { class: 'aml-v-list' },
      ...section.facts.flatMap(fact => [
        element('dt', {}, fact.name),
        element('dd', {}, fact.value)
      ])
    )
  );
}

function textOf(text: FactText): HTMLElement {
  const summary = element('summary', {}, text.title);
  const made = element('details', { class: 'aml-v-text-box' }, summary);
  // Long texts are drawn when somebody opens them.
  made.addEventListener('toggle', () => {
    if (made.open && made.childElementCount === 1) {
      const lines = text.kind === 'diff' ? text.text.split('\n').map(diffLine) : [text.text];
      const box = element('pre', { class: 'aml-v-text', tabindex: '0' }, ...lines);
      made.append(copyButton(trans.__('Copy'), trans.__('Copy %1', text.title), () => text.text), box);
    }
  });
  return made;
}

function diffLine(line: string): Node {
  const kind = { '+': 'aml-v-added', '-': 'aml-v-removed', '@': 'aml-v-hunk' }[line[0] ?? ''];
  return element('span', { class: `aml-v-diff ${kind ?? ''}`.trim() }, `${line}\n`);
}

/** The tags of a run, each of which can be changed or removed, and a form for another one. */
class Tags {
  readonly node = element('section', { class: 'aml-v-section aml-v-tags', 'aria-label': trans.__('Tags') });
  private readonly list = element('ul', { class: 'aml-v-tag-list' });
  private readonly name = field(trans.__('Name of the tag'));
  private readonly value = field(trans.__('Value of the tag'));
  private tags: readonly Fact[] = [];
  private edited: string | null = null;

  constructor(private readonly session: Session, private readonly notices: Notices) {
    const form = element(
      'form',
      { class: 'aml-v-bar-row', 'aria-label': trans.__('Add a tag') },
      this.name,
      this.value,
      element('button', { type: 'submit', class: 'aml-v-button' }, trans.__('Add'))
    );
    form.addEventListener('submit', event => {
      event.preventDefault();
      this.add();
    });
    this.node.append(element('strong', {}, trans.__('Tags')), this.list, form);
  }

  update(tags: readonly Fact[]): void {
    this.tags = tags;
    this.list.removeAttribute('aria-busy');
    // Nobody's half-written words are taken away by an answer to something else.
    if (this.edited === null) {
      this.draw();
    }
  }

  stopEditing(): void {
    this.edited = null;
  }

  private draw(): void {
    const items = this.tags.map(tag =>
      tag.name === this.edited ? this.editor(tag) : this.item(tag)
    );
    this.list.replaceChildren(...items);
    this.list.querySelector('input')?.focus();
  }

  private add(): void {
    const name = this.name.value.trim();
    if (name === '') {
      this.name.focus();
      return;
    }
    this.send(name, this.value.value);
    this.name.value = this.value.value = '';
    this.name.focus();
  }

  private send(name: string, value: string | null): void {
    this.list.setAttribute('aria-busy', 'true');
    if (!this.session.ask({ kind: 'tag', name, value })) {
      this.list.removeAttribute('aria-busy');
      this.notices.say(nobodyFor(trans.__('Tags')), true);
    }
  }

  private item(tag: Fact): HTMLElement {
    const made = element('li', { class: 'aml-v-tag' });
    const change = button(tag.value || trans.__('(empty)'), () => this.edit(tag.name), 'aml-v-quiet');
    change.setAttribute('aria-label', trans.__('Change %1, which is %2', tag.name, tag.value));
    made.append(
      element('span', { class: 'aml-v-muted' }, tag.name),
      change,
      signButton('×', trans.__('Remove %1', tag.name), () => this.send(tag.name, null))
    );
    return made;
  }

  private edit(name: string | null): void {
    this.edited = name;
    this.draw();
  }

  private editor(tag: Fact): HTMLElement {
    const input = field(trans.__('Value of %1', tag.name));
    input.value = tag.value;
    const save = (): void => {
      this.send(tag.name, input.value);
      this.edit(null);
    };
    input.addEventListener('keydown', event => {
      if (event.key === 'Enter') {
        save();
      } else if (event.key === 'Escape') {
        this.edit(null);
      }
    });
    return element(
      'li',
      { class: 'aml-v-tag' },
      element('span', { class: 'aml-v-muted' }, tag.name),
      input,
      button(trans.__('Save'), save),
      button(trans.__('Leave'), () => this.edit(null))
    );
  }
}

function field(label: string): HTMLInputElement {
  const made = element('input', {
    ...{ type: 'text', class: 'aml-v-input', 'aria-label': label, placeholder: label },
    ...{ autocomplete: 'off', spellcheck: 'false' }
  });
  made.addEventListener('keydown', event => event.stopPropagation());
  return made;
}
