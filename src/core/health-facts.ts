import type { ArchiveLag } from './archive-lag.ts';
import type { Hole } from './record.ts';
import type { WalLine } from './wal-line.ts';
import type { SecondFact } from './second-findings.ts';
import type { NeededBackup } from './needed-backup.ts';

/** How bad it is, the worst last. `blocked` waits for a person; `alarm` loses protection; `attention` may pass by itself. */
export const levels = ['ok', 'attention', 'alarm', 'blocked'] as const;
export type Level = (typeof levels)[number];

/** One thing that is to be said, and what the reader can do about it. */
export interface Finding {
  readonly level: Level;
  readonly text: string;
  readonly next: string | undefined;
}

/** A finding as people read it: the next step on a line of its own. */
export function findingText({
  level,
  text,
  next,
}: Pick<Finding, 'level' | 'text'> & { next?: string | null | undefined }): string {
  return `${level}: ${text}${next === undefined || next === null ? '' : `\n  next: ${next}`}`;
}

/** An error as the facts carry it: its kind decides, its words are told. */
export interface Trouble {
  readonly kind: string;
  readonly message: string;
  readonly hint: string | undefined;
}

/** What the cluster is to the repository, for a status. */
export type StandingFact =
  | { readonly is: 'owner'; readonly incarnation: number }
  | { readonly is: 'copy'; readonly of: string; readonly isKept: boolean }
  | { readonly is: 'none' };

/** What the running server says of its archiving. */
export interface ArchivingFact {
  readonly is: 'ours' | 'foreign' | 'discarded' | 'off';
  readonly command: string;
  /** Names whose new value waits for a restart. */
  readonly waiting: readonly string[];
  readonly lag: ArchiveLag;
}

/** How WAL comes by a stream. */
export interface StreamFact {
  /** `undefined` where nothing speaks against it. */
  readonly refusal: { readonly why: string; readonly hint: string | undefined } | undefined;
  readonly slot: 'good' | 'lost' | 'absent';
  readonly isReceived: boolean;
  /** What waits on the server and in our folder. */
  readonly waitingBytes: number;
  /** How much may, until the slot is dropped. */
  readonly boundBytes: number;
  readonly isNearBound: boolean;
}

/** Where a point in time can be chosen: from a backup's end to the newest that is proven. */
interface WindowFact {
  readonly from: Date;
  readonly to: Date;
}

/** All that a status is made of. `undefined` where it could not be asked, never for "no". */
export interface HealthFacts {
  readonly now: Date;
  /** `15/main`. */
  readonly label: string;
  readonly destination: string | undefined;
  readonly walArchiving: boolean;
  readonly archiveTimeoutSeconds: number;
  readonly repository: Trouble | 'open';
  readonly standing: StandingFact | undefined;
  readonly isRunning: boolean;
  readonly isInRecovery: boolean;
  /** What the server could not be asked, when it runs. */
  readonly server: Trouble | undefined;
  readonly archiving: ArchivingFact | undefined;
  /** `undefined` where nothing is to be streamed, or it could not be asked. */
  readonly stream: StreamFact | undefined;
  /** `undefined` where there is none, and nothing is left of one. */
  readonly second?: SecondFact | undefined;
  /** Prunes that do nothing before a person has looked at what they would delete. */
  readonly waitingPrunes?: readonly Trouble[] | undefined;
  readonly archiveFailure: (Trouble & { readonly since: Date; readonly name: string }) | undefined;
  readonly restore: string | undefined;
  readonly backups: { readonly complete: number; readonly newest: Date | undefined } | undefined;
  readonly runningBackupSince: Date | undefined;
  readonly lastFailure: (Trouble & { readonly at: Date }) | undefined;
  readonly needed: readonly NeededBackup[];
  readonly holes: readonly Hole[];
  readonly window: WindowFact | undefined;
  /** What has become of the WAL since the newest backup; `undefined` where there is no such line, or it could not be asked. */
  readonly line: WalLine | undefined;
  readonly nextBackup: Date | undefined;
  /** When the schedule last wanted a backup; `undefined` without one. */
  readonly lastScheduled: Date | undefined;
}
