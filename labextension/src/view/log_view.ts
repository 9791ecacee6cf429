import { element } from '../dom';
import { bytes } from '../format';
import { AskingButton } from './asking';
import { button, choice, copyButton, copyText, fillChoice, setShown, setText } from './controls';
import { Download } from './download';
import { LogList } from './log_list';
import { LogPages } from './log_pages';
import { LogSearch } from './log_search';
import { openPlace, PLACE_CLASS, placeOf } from './log_text';
import type { Notices } from './notices';
import type { Session } from './session';
import { nobodyFor, trans } from './words';

/** The log: its end as it grows, pages from further up, a search, and ways to take it along. */
export class LogView {
  readonly node = element('section', { class: 'aml-v-log-view', 'aria-label': trans.__('Log') });
  private readonly list: LogList;
  private readonly pages: LogPages;
  private readonly search: LogSearch;
  private readonly files: HTMLSelectElement;
  private readonly follow: HTMLInputElement;
  private readonly size = element('span', { class: 'aml-v-muted aml-v-number' });
  private shownFiles = '';

  constructor(
    private readonly session: Session,
    private readonly notices: Notices,
    signal: AbortSignal
  ) {
    this.pages = new LogPages(session, notices, () => this.showPages(false), signal);
    const question = (): ReturnType<LogPages['beforeWindow']> => this.pages.beforeWindow();
    const earlier = new AskingButton(trans.__('Earlier'), question, session, notices, signal);
    this.list = new LogList(session, earlier.node, signal);
    session.onTold('page', () => this.onPage(earlier), signal);
    this.search = new LogSearch(session, notices, this.searched(), signal);
    this.files = choice(trans.__('Log file'), [], file => this.open(file));
    this.follow = element('input', { type: 'checkbox', role: 'switch' });
    this.follow.addEventListener('change', () => this.list.setFollowing(this.follow.checked));
    this.list.onChange = () => this.update();
    this.build(new Download(session, notices, signal));
    this.node.addEventListener('click', event => this.onPlace(event));
    this.node.addEventListener('keydown', event => event.key === 'Enter' && this.onPlace(event));
    this.update();
  }

  /** Draw or rest. */
  setOpen(open: boolean): void {
    this.list.setOpen(open);
  }

  private build(download: Download): void {
    const { session } = this;
    const text = (): string => (this.pages.node.hidden ? session.log.text() : this.pages.text());
    const bar = element(
      'div',
      { class: 'aml-v-bar-row' },
      this.files,
      element('label', { class: 'aml-v-field' }, this.follow, trans.__('Follow')),
      this.size,
      ...this.search.controls,
      element('span', { class: 'aml-v-spring' }),
      download.node,
      copyButton(trans.__('Copy'), trans.__('Copy the lines shown'), text),
      button(trans.__('Download'), () => void download.start(session.log.file, session.log.size))
    );
    this.node.append(bar, this.search.list, this.list.node, this.pages.node);
  }

  private searched(): ConstructorParameters<typeof LogSearch>[2] {
    return {
      box: () => (this.pages.node.hidden ? this.list.node : this.pages.node),
      mark: text => {
        this.list.setSearch(text);
        this.pages.setSearch(text);
      },
      openAround: at => this.pages.openAround(at)
    };
  }

  private onPage(earlier: AskingButton): void {
    earlier.settle();
    this.showPages(!this.pages.node.hidden);
  }

  private open(file: string): void {
    this.pages.close();
    this.showPages(false);
    this.list.setFollowing(true);
    if (!this.session.ask({ kind: 'log', file })) {
      this.notices.say(nobodyFor(trans.__('Log file')), true);
    }
  }

  private showPages(shown: boolean): void {
    if (!shown) {
      this.pages.close();
    }
    setShown(this.list.node, !shown);
    this.search.update();
  }

  private update(): void {
    const { files, file, size } = this.session.log;
    const names = files.join('\n');
    if (names !== this.shownFiles) {
      this.shownFiles = names;
      fillChoice(this.files, files.map(name => [name, name]));
    }
    this.files.value = file;
    setShown(this.files, files.length > 0);
    this.follow.checked = this.list.following;
    setText(this.size, size > 0 ? bytes(size) : '');
    this.search.update();
  }

  private onPlace(event: Event): void {
    const target = event.target instanceof Element ? event.target : null;
    const node = target?.closest<HTMLElement>(`.${PLACE_CLASS}`);
    if (node) {
      const place = placeOf(node, this.session.run);
      if (!openPlace(place)) {
        void this.copyPlace(`${place.path}:${place.line}`);
      }
    }
  }

  private async copyPlace(place: string): Promise<void> {
    this.notices.say((await copyText(place)) ? trans.__('%1 (copied)', place) : place);
  }
}
