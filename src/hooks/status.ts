import type { CharmSettings } from '../core/charm-settings.ts';
import { unitStatus, type StatusFacts, type UnitStatus } from '../core/unit-status.ts';
import type { HookTools } from '../juju/hook-tools.ts';
import { spokesman, type RestoreTurn } from './restore-stage.ts';
import type { Snapshot } from './snapshot.ts';

/** What a status is computed from, at the end of a hook. */
export interface StatusSources {
  readonly snapshot: Snapshot;
  readonly settings: CharmSettings;
  readonly turn: RestoreTurn | undefined;
}

/** Says the unit's status to Juju. */
export async function setStatus(tools: HookTools, sources: StatusSources): Promise<void> {
  const { status, message } = statusOf(sources);
  await tools.statusSet(status, message);
}

/** The unit's status, from facts alone. */
export function statusOf(sources: StatusSources): UnitStatus {
  return unitStatus(factsOf(sources));
}

function factsOf({ snapshot, settings, turn }: StatusSources): StatusFacts {
  const { environment, roles, application, local, others } = snapshot;
  const { cluster, landscape, trouble, jobs } = local;
  const published = landscape?.published;
  const isPaused = published?.profile === 'charmed' && !published.running && !published.fenced;
  const health = cluster?.health ?? undefined;
  const joiners = [...others].filter(([, { facts }]) => facts?.roles.includes('postgresql') === true);
  return {
    unit: environment.unit,
    jujuVersion: environment.version,
    application: environment.application,
    roles,
    invalid: settings.ok
      ? undefined
      : { message: settings.failure.message, next: settings.next, status: settings.status },
    destination: settings.ok ? settings.settings.destination?.url : 'unknown',
    isJoined: application.repository !== undefined,
    isCopy: cluster?.standing?.is === 'copy',
    joiner: roles.includes('postgresql') ? environment.unit : joiners.map(([unit]) => unit).sort()[0],
    restore: turn === undefined ? undefined : { ...turn, spokesman: spokesman(snapshot, turn.intent) },
    // Where there is a health, the problem is a part of it, with its weight.
    trouble: trouble ?? (health === undefined ? (cluster?.problem ?? undefined) : undefined),
    health,
    files: landscape?.files,
    paused: isPaused ? environment.principal : undefined,
    jobs,
  };
}
