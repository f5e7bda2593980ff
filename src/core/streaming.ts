import type { Lsn } from './lsn.ts';
import { formatBytes } from './words.ts';

/** How the program that receives the stream calls itself to the server. */
export const streamApplication = 'landscape-backup-stream';

/** The name of the slot by which an owner keeps WAL for its stream: it is known without any file of ours. */
export function slotName(ownerId: string): string {
  return `landscape_backup_${ownerId
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '')
    .slice(0, 32)}`;
}

/** A slot as the server has it. */
export interface SlotFacts {
  /** From where on the server keeps WAL for it; `undefined` when it keeps none any more. */
  readonly restartLsn: Lsn | undefined;
  /** The process that sends to it. */
  readonly activePid: number | undefined;
  /** The server has removed WAL that the slot still needed, so it will never send again. */
  readonly isLost: boolean;
}

/** What decides about streaming from a running server. */
export interface StreamFacts {
  readonly versionNumber: number;
  readonly isInRecovery: boolean;
  readonly walLevel: string;
  readonly synchronousNames: string;
  /** Our slot; `undefined` when there positively is none. */
  readonly slot: SlotFacts | undefined;
  /** What the server keeps for the slot. */
  readonly keptBytes: number;
  /** What lies in our own folder and is not stored yet. */
  readonly pendingBytes: number;
  /** What is left on the file system of the server's WAL. */
  readonly freeBytes: number;
}

/** Why nothing may be streamed from a server, and what a person can do. */
export interface StreamRefusal {
  readonly why: string;
  readonly hint: string;
}

/** Says why nothing may be streamed, or `undefined`. */
export function refuseStream(facts: StreamFacts): StreamRefusal | undefined {
  if (facts.versionNumber < 100_000) {
    return {
      why: 'PostgreSQL before 10 has no pg_receivewal that could follow this protocol',
      hint: 'Set wal-method to archive.',
    };
  }
  if (facts.walLevel === 'minimal') {
    return {
      why: 'wal_level is "minimal", which writes too little for a stream',
      hint: 'Set wal_level to replica and restart the cluster.',
    };
  }
  if (isSynchronous(facts.synchronousNames)) {
    return {
      why: `synchronous_standby_names is "${facts.synchronousNames}", so every commit would wait for the stream`,
      hint: 'Name the standbys in it, or set wal-method to archive.',
    };
  }
  return undefined;
}

/** Tells whether PostgreSQL would take the stream for a synchronous standby. */
function isSynchronous(names: string): boolean {
  return names
    .split(/[\s,()]+/)
    .some((name) => name === '*' || name.replaceAll('"', '').toLowerCase() === streamApplication);
}

/** What may wait for a stream at most, however large the disk is. */
const mostWaiting = 16 * 1024 ** 3;

/**
 * How much WAL may wait for the stream, on the server and in our folder together: 16 GiB, and never more than half of the
 * room that it waits in.
 */
export function streamBound({ keptBytes, pendingBytes, freeBytes }: StreamFacts, most = mostWaiting): number {
  return Math.min(most, Math.floor((keptBytes + pendingBytes + freeBytes) / 2));
}

/** Says why the slot has to go before it fills the disk or because it is of no use any more; `undefined` while it is good. */
export function slotFault(facts: StreamFacts, most = mostWaiting): string | undefined {
  const { slot, keptBytes, pendingBytes } = facts;
  if (slot === undefined) return undefined;
  if (slot.isLost) return 'PostgreSQL has removed WAL that the stream still needed (max_slot_wal_keep_size)';
  const bound = streamBound(facts, most);
  const waiting = keptBytes + pendingBytes;
  if (waiting <= bound) return undefined;
  return `${formatBytes(waiting)} of WAL waited for the stream, more than the ${formatBytes(bound)} that it may keep`;
}

/** The share of the bound at which a status begins to say so, as an alarm. */
const alarmShare = 0.5;

/** Tells whether so much waits that a person should look. */
export function isNearBound(facts: StreamFacts): boolean {
  return facts.keptBytes + facts.pendingBytes > streamBound(facts) * alarmShare;
}

/** Tells whether so little waits that a slot may be made anew. */
export function hasRoomForSlot(facts: StreamFacts): boolean {
  return facts.pendingBytes <= streamBound(facts) * alarmShare;
}
