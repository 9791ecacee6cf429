/** The parts of anywidget's model that the view uses; see https://anywidget.dev. */
export interface AnyModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(name: string, callback: (...values: never[]) => void): void;
  off(name: string, callback: (...values: never[]) => void): void;
  readonly widget_manager?: unknown;
  /** Not of anywidget: the address of a file of the run, where a server gives files one. */
  fileUrl?(path: string, download: boolean): string;
}
