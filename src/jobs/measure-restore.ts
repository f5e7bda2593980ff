import type { Backup } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import { missingLibraries, missingLocales } from '../postgres/recovery-facts.ts';
import type { PlanContext } from './plan-context.ts';
import { checkRoom, measureRoom, type RoomMeasured } from './restore-places.ts';

/** What this machine has for a plan at one moment. It is measured for the plan and again when it is confirmed. */
export interface RestoreMeasurements {
  readonly room: readonly RoomMeasured[];
  readonly missingLibraries: readonly string[];
  readonly missingLocales: readonly string[];
  /** The cluster that is overwritten runs at the moment. */
  readonly running: boolean;
}

/** Measures; changes nothing. */
export async function measureRestore(
  context: PlanContext,
  plan: RestorePlan,
  backup: Backup,
): Promise<RestoreMeasurements> {
  const segments = plan.service.segments.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  return {
    room: await measureRoom(plan.directories, backup, {
      walBytes: segments * plan.segmentSize,
      discardOld: plan.discardOld,
    }),
    missingLibraries: await missingLibraries(context.cluster, plan.settings.carried),
    missingLocales: await missingLocales(backup.settings),
    running: context.cluster.running,
  };
}

/** Fails with `machine` when the machine lacks what the plan needs. */
export function checkMachine(plan: RestorePlan, measured: RestoreMeasurements): void {
  if (measured.missingLibraries.length > 0) {
    throw new Failure('machine', `production loads ${measured.missingLibraries.join(', ')}, which this machine lacks`, {
      hint: `Install the packages of these extensions for PostgreSQL ${plan.major} (apt-cache search postgresql-${plan.major}-).`,
    });
  }
  if (measured.missingLocales.length > 0) {
    throw new Failure(
      'machine',
      `production's databases need the locale ${measured.missingLocales.join(', ')}, which this machine lacks`,
      {
        hint: 'Make it: dpkg-reconfigure locales, or locale-gen <name>.',
      },
    );
  }
  checkRoom(measured.room, plan.discardOld);
}
