import type { Backup } from './backup.ts';
import type { IncarnationCatalogue } from './catalogue.ts';

/** What is kept: the union of both. */
export interface RetentionPolicy {
  /** The newest backups that are kept, however old; the floor under everything. */
  readonly count: number;
  /** The window in which every instant stays restorable, in days of 24 hours; 0 is none. */
  readonly days: number;
}

/** What three clocks said at about the same moment. */
export interface Clocks {
  readonly host: Date;
  readonly server: Date;
  readonly destination: Date;
}

/** All that a retention plan depends on. */
export interface RetentionRequest {
  /** The incarnations of this owner that continue each other, in any order; nobody else's. */
  readonly incarnations: readonly IncarnationCatalogue[];
  /** Where the server writes now: the incarnation that is claimed, and its timeline. */
  readonly current: { readonly incarnation: number; readonly timeline: number };
  readonly policy: RetentionPolicy;
  readonly clocks: Clocks;
  /** The last moment at which the schedule wanted a backup; `undefined` without a schedule. */
  readonly scheduledAt: Date | undefined;
}

/** A backup that stays, with every reason. */
interface KeptBackup {
  readonly incarnation: number;
  readonly backup: Backup;
  readonly because: readonly string[];
}

/** A backup that goes. */
export interface ExpiredBackup {
  readonly incarnation: number;
  readonly backup: Backup;
  readonly because: string;
  /** It was condemned by an earlier prune, which this one finishes. */
  readonly isRest: boolean;
}

/** What an interrupted job left, by the id of its backup. */
export interface UnfinishedDecision {
  readonly incarnation: number;
  readonly id: string;
  readonly because: string;
}

/** Whole segments of one timeline, both ends included, and why they stay or go. */
export interface WalDecision {
  readonly incarnation: number;
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
  readonly because: string;
}

/** What expires and what stays, each with its reason; nothing is touched by deciding it. */
export interface RetentionPlan {
  /** Why nothing may expire now; with any of these nothing does. */
  readonly refusals: readonly string[];
  /** Oldest first. */
  readonly keep: readonly KeptBackup[];
  readonly delete: readonly ExpiredBackup[];
  readonly unfinished: { readonly keep: readonly UnfinishedDecision[]; readonly sweep: readonly UnfinishedDecision[] };
  readonly wal: {
    readonly keep: readonly WalDecision[];
    readonly delete: readonly WalDecision[];
    /** Names that no cluster could have made; they are told and never touched. */
    readonly strangers: readonly string[];
  };
}

/** The moment that counts as now: the slowest clock's, so that a fast one shortens no window. */
export function retentionNow({ host, server, destination }: Clocks): Date {
  return new Date(Math.min(host.getTime(), server.getTime(), destination.getTime()));
}
