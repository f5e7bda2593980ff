import type { Backup } from './backup.ts';
import type { Incarnation } from './incarnation.ts';
import type { Hole, Lease, Mark, RestorePoint, Witness } from './record.ts';
import type { TimelineSwitch } from './timeline.ts';
import type { WalIndex } from './wal-index.ts';

/** A backup's folder without a readable `backup.json`: running, interrupted, or not to be understood. */
export interface UnfinishedBackup {
  readonly id: string;
  readonly storedBytes: number;
  /** `backup.json` is there but can't be read: protected, and said. */
  readonly unreadable: string | undefined;
}

/** A lease together with where it lies; `unreadable` ones protect everything. */
export interface HeldLease {
  readonly key: string;
  readonly lease: Lease | undefined;
  readonly isGuest: boolean;
}

/** All that the repository knows of one incarnation, read at one moment. */
export interface IncarnationCatalogue extends Incarnation {
  readonly systemIdentifier: string;
  /** Complete backups, oldest start LSN first. */
  readonly backups: readonly Backup[];
  readonly unfinished: readonly UnfinishedBackup[];
  /** Per backup id, oldest first; an unreadable mark stands as `undefined` and protects. */
  readonly marks: ReadonlyMap<string, readonly (Mark | undefined)[]>;
  readonly wal: WalIndex;
  readonly histories: ReadonlyMap<number, readonly TimelineSwitch[]>;
  readonly leases: readonly HeldLease[];
  /** The newest one, if any. */
  readonly witness: Witness | undefined;
  readonly restorePoints: readonly RestorePoint[];
  readonly holes: readonly Hole[];
}

/** All that the repository knows of one cluster, oldest incarnation first. */
export interface ClusterCatalogue {
  readonly systemIdentifier: string;
  readonly incarnations: readonly IncarnationCatalogue[];
}
