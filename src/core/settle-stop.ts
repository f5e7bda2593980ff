import type { Backup } from './backup.ts';
import { Failure } from './failure.ts';
import { formatLsn, type Lsn } from './lsn.ts';
import { dateOfMicros, microsOf, type Reading } from './recovery-target.ts';
import type { Gap } from './restorable.ts';
import type { RestorePlan, RestoreTarget } from './restore-plan.ts';
import { segmentName } from './wal-name.ts';

/** How far WAL is stored without a gap. */
export interface ProvenEnd {
  /** The end of the last whole record. */
  readonly lsn: Lsn;
  /** The newest instant of which we know that everything committed until then is stored. */
  readonly micros: bigint;
}

/** What the WAL along a way proves, from one backup on. */
export interface Proof {
  readonly backup: Backup;
  readonly reading: Reading;
  /** What is known of the end of the WAL; null when the reading ended before it. */
  readonly end: ProvenEnd | null;
  readonly gap: Gap | undefined;
  readonly segmentSize: number;
}

/** Where a restore stops, as the plan says it. */
export interface SettledStop {
  readonly stop: RestorePlan['stop'];
  readonly switchLsn: Lsn | null;
  readonly after: Lsn;
  readonly restoredTo: Date | null;
  readonly notes: readonly string[];
}

/** The target lies before this backup is consistent: an older one may reach it. */
export interface TooEarly {
  readonly tooEarly: true;
  /** Where it would stop. */
  readonly lsn: Lsn;
}

/**
 * Decides where a restore stops, from what was read; a target that can't be reached is a `refused` failure that names the
 * proven end.
 */
export function settleStop(target: RestoreTarget, proof: Proof): SettledStop | TooEarly {
  const { backup, reading } = proof;
  const restoredTo = reading.newestCommitMicros === undefined ? null : dateOfMicros(reading.newestCommitMicros);
  if (target.to === 'backup') {
    return { stop: { at: 'backup-end' }, switchLsn: null, after: backup.stopLsn, restoredTo, notes: [] };
  }
  const { stop } = reading;
  if (stop !== undefined) {
    if (stop.switchLsn < backup.stopLsn) return { tooEarly: true, lsn: stop.switchLsn };
    // Without a record to stop before, PostgreSQL from 13 on would call the target unreached.
    const at: RestorePlan['stop'] = stop.neededTo === null ? { at: 'end' } : { at: 'record', lsn: stop.lsn };
    return { stop: at, switchLsn: stop.switchLsn, after: stop.switchLsn, restoredTo, notes: [] };
  }
  const { end } = proof;
  if (end === null) throw new Failure('internal', 'the end of the WAL was not looked for');
  const atEnd = { stop: { at: 'end' }, switchLsn: end.lsn, after: end.lsn, restoredTo } as const;
  if (target.to === 'end') return { ...atEnd, notes: gapNotes(proof) };
  if (target.to === 'time' && microsOf(target.time) <= end.micros) {
    return { ...atEnd, notes: [nothingUntil(target.time, restoredTo)] };
  }
  throw unreachable(target, proof, end);
}

function nothingUntil(time: Date, restoredTo: Date | null): string {
  const since = restoredTo === null ? 'the backup' : restoredTo.toISOString();
  return `Nothing was committed between ${since} and ${time.toISOString()}: the restore goes to the proven end, which is the same.`;
}

function gapNotes({ gap, segmentSize }: Proof): readonly string[] {
  if (gap === undefined) return [];
  return [
    `The WAL has a hole behind this end (${gapText(gap, segmentSize)}): what was archived after it cannot be reached from this backup.`,
  ];
}

/** A gap in words: `000000010000000000000007 to …09 (3 segments)`. */
function gapText(gap: Gap, segmentSize: number): string {
  const first = segmentName(gap.timeline, gap.first, segmentSize);
  if (gap.first === gap.last) return `segment ${first} is missing`;
  return `segments ${first} to ${segmentName(gap.timeline, gap.last, segmentSize)} are missing`;
}

function unreachable(target: RestoreTarget, proof: Proof, proven: ProvenEnd): Failure {
  const end = `${formatLsn(proven.lsn)}, ${dateOfMicros(proven.micros).toISOString()}`;
  const hole = proof.gap === undefined ? '' : `; behind it ${gapText(proof.gap, proof.segmentSize)}`;
  return new Failure('refused', `${wanted(target, proof)}: the proven end is ${end}${hole}`, {
    hint:
      proof.gap === undefined
        ? 'Use --to end for the proven end; landscape-backup list-backups shows what can be restored.'
        : 'Use --to end for the proven end, or a target after a backup that was taken behind the hole: landscape-backup list-backups.',
  });
}

function wanted(target: RestoreTarget, { backup }: Proof): string {
  const range = `in the WAL from backup ${backup.id} on`;
  switch (target.to) {
    case 'time':
      return `the stored WAL does not reach ${target.time.toISOString()}`;
    case 'lsn':
      return `no record ${range} begins at or after ${formatLsn(target.lsn)}`;
    case 'name':
      return `no restore point "${target.name}" is ${range}`;
    case 'xid':
      return `transaction ${target.xid} neither commits nor aborts ${range}`;
    case 'end':
    case 'backup':
      return 'the target was not found';
  }
}
