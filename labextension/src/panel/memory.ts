import type { IStateDB } from '@jupyterlab/statedb';

/** What the panel remembers of a workspace of JupyterLab; forgets with the page where nothing is kept. */
export class Memory<Kept extends object> {
  /** Comes once it is known what was kept. */
  readonly ready: Promise<void>;
  private kept: Partial<Kept> = {};

  constructor(
    private readonly state: IStateDB | null,
    private readonly key: string
  ) {
    this.ready = this.load();
  }

  /** What was kept under a name, else `usual`. */
  get<Name extends keyof Kept>(name: Name, usual: Kept[Name]): Kept[Name] {
    return this.kept[name] ?? usual;
  }

  set<Name extends keyof Kept>(name: Name, value: Kept[Name]): void {
    this.kept[name] = value;
    // Only what JSON can hold is kept.
    void this.state?.save(this.key, this.kept as never);
  }

  private async load(): Promise<void> {
    const found = await this.state?.fetch(this.key).catch(() => undefined);
    if (typeof found === 'object' && found !== null) {
      this.kept = { ...(found as unknown as Partial<Kept>), ...this.kept };
    }
  }
}
