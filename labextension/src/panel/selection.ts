/** The runs that were picked, by their ids. */
export class Selection {
  /** Where a range begins. */
  anchor = '';
  private chosen = new Set<string>();

  constructor(private readonly changed: () => void) {}

  get ids(): readonly string[] {
    return [...this.chosen];
  }

  has(run: string): boolean {
    return this.chosen.has(run);
  }

  only(run: string): void {
    this.become([run], run);
  }

  toggle(run: string): void {
    const chosen = new Set(this.chosen);
    if (!chosen.delete(run)) {
      chosen.add(run);
    }
    this.become(chosen, run);
  }

  /** What is done is done to all that are picked, if the run is one of them; else to it alone. */
  include(run: string): void {
    if (!this.chosen.has(run)) {
      this.only(run);
    }
  }

  range(runs: readonly string[]): void {
    this.become(runs, this.anchor || (runs[0] ?? ''));
  }

  clear(): void {
    this.become([], '');
  }

  /** Runs that are gone are not picked any more. */
  drop(runs: readonly string[]): void {
    if (runs.some(run => this.chosen.has(run))) {
      this.become(
        this.ids.filter(run => !runs.includes(run)),
        this.anchor
      );
    }
  }

  private become(runs: Iterable<string>, anchor: string): void {
    this.chosen = new Set(runs);
    this.anchor = anchor;
    this.changed();
  }
}
