import type { IDisposable } from '@lumino/disposable';

import type { IRunService, PlaceListener } from '../tokens';

/** Follows the workspace that is looked at, whichever that is, as long as it is wanted. */
export class Follower {
  private followed: IDisposable | null = null;
  private place: string | undefined;
  private isWanted = false;

  constructor(
    private readonly service: IRunService,
    private readonly level: 'rows' | 'counts',
    private readonly listener: PlaceListener,
    /** Another workspace is followed, or none. */
    private readonly moved: (place: string | undefined) => void = () => undefined
  ) {
    service.placesChanged.connect(() => this.follow());
  }

  set wanted(is: boolean) {
    this.isWanted = is;
    this.follow();
  }

  private follow(): void {
    const place = this.isWanted ? this.service.place?.key : undefined;
    if (place === this.place) {
      return;
    }
    this.followed?.dispose();
    this.place = place;
    this.followed =
      place === undefined ? null : this.service.live.watch(place, this.level, this.listener);
    this.moved(place);
  }
}
