import { configurationLine } from './configuration-line.ts';
import { Failure } from './failure.ts';
import { formatLsn } from './lsn.ts';
import type { RestorePlan, RestoreTarget } from './restore-plan.ts';

/** What decides how PostgreSQL is told to recover. */
export interface RecoveryRequest {
  /** `15` or `9.6`. */
  readonly major: string;
  readonly target: RestoreTarget;
  readonly stop: RestorePlan['stop'];
  readonly timeline: number;
  /** As `restore_command` wants it, `%p` and `%f` in it. */
  readonly restoreCommand: string;
}

/** How PostgreSQL is told to recover. */
export interface RecoverySettings {
  /** Files to write into the data directory, just before it is started. */
  readonly files: readonly { readonly name: string; readonly contents: string }[];
  /** `-c name=value` on the command line: whoever starts the directory without them does not recover it wrongly. */
  readonly options: readonly (readonly [name: string, value: string])[];
}

/** How recovery is told by a version: by `recovery.conf` until 11, by `recovery.signal` and settings since 12. */
export function recoverySettings(request: RecoveryRequest): RecoverySettings {
  const version = Number(request.major);
  const recovery: [string, string][] = [
    ['restore_command', request.restoreCommand],
    ['recovery_target_timeline', String(request.timeline)],
    ...stopSettings(request),
    ['recovery_target_action', 'promote'],
  ];
  // Without hot standby nobody reads rows that may yet go, and too low a max_connections does not stop the replay.
  const common: [string, string][] = [
    ['hot_standby', 'off'],
    ['archive_mode', 'off'],
  ];
  if (version < 12) {
    const lines = recovery.map(([name, value]) => configurationLine(name, value));
    return { files: [{ name: 'recovery.conf', contents: `${lines.join('\n')}\n` }], options: common };
  }
  // Each of these may stand in a file that came back with the data directory, and each would change what recovery does.
  const undone: [string, string][] = [
    ['recovery_end_command', ''],
    ['archive_cleanup_command', ''],
    ['recovery_min_apply_delay', '0'],
    ['primary_conninfo', ''],
    ['primary_slot_name', ''],
  ];
  return { files: [{ name: 'recovery.signal', contents: '' }], options: [...recovery, ...undone, ...common] };
}

/** Below 13 a target that is not reached promotes all the same: only the new timeline's history tells. */
export function promotesUnreachedTarget(major: string): boolean {
  return Number(major) < 13;
}

function stopSettings({ major, stop, target }: RecoveryRequest): readonly [string, string][] {
  switch (stop.at) {
    case 'end':
      return [];
    case 'backup-end':
      return [['recovery_target', 'immediate']];
    case 'record':
      if (Number(major) < 10) return ownTarget(major, target);
      return [
        ['recovery_target_lsn', formatLsn(stop.lsn)],
        ['recovery_target_inclusive', 'off'],
      ];
  }
}

/** Until 9.6 there is no `recovery_target_lsn`: the target goes to PostgreSQL as it was asked for. */
function ownTarget(major: string, target: RestoreTarget): readonly [string, string][] {
  const inclusive = (exclusive: boolean): [string, string] => ['recovery_target_inclusive', exclusive ? 'off' : 'on'];
  switch (target.to) {
    case 'time':
      return [
        ['recovery_target_time', target.time.toISOString().replace('T', ' ').replace('Z', '+00')],
        inclusive(target.exclusive),
      ];
    case 'xid':
      return [['recovery_target_xid', String(target.xid)], inclusive(target.exclusive)];
    case 'name':
      return [['recovery_target_name', target.name]];
    case 'lsn':
      throw lsnNeedsTen(major);
    case 'end':
    case 'backup':
      throw new Failure('internal', `the target "${target.to}" does not stop before a record`);
  }
}

/** What is said to somebody who wants an LSN from a version that cannot stop there. */
export function lsnNeedsTen(major: string): Failure {
  return new Failure('refused', `PostgreSQL ${major} cannot stop at an LSN: it can from 10 on`, {
    hint: 'Use --to time=…, --to xid=… or --to name=….',
  });
}
