/** What a tab shows besides the log. */
export interface Part {
  readonly node: HTMLElement;
  /** Called when its tab is opened, and when other runs are shown while it is. */
  open(): void;
  /** Called now and then while it is open and a run goes on. */
  refresh(): void;
}
