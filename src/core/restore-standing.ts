import type { ClusterCatalogue } from './catalogue.ts';
import { Failure } from './failure.ts';

/** What this machine's cluster is at the moment, and what is asked of it. */
export interface LocalStanding {
  /** `15/main`. */
  readonly label: string;
  readonly running: boolean;
  /** The system identifier in its data directory; `undefined` when that is empty or can't be read. */
  readonly systemIdentifier: string | undefined;
  /** The incarnation that this unit's own state says it holds, where the repository confirms it. */
  readonly owned: { readonly systemIdentifier: string; readonly incarnation: number } | undefined;
}

/** Decides whether a cluster may be overwritten and says what it is; fails with `refused`. */
export function judgeStanding(
  local: LocalStanding,
  restored: ClusterCatalogue,
  request: { readonly inPlace: boolean; readonly takeOver: boolean; readonly discardOld: boolean },
): readonly string[] {
  const { label, owned } = local;
  if (owned !== undefined && owned.systemIdentifier !== restored.systemIdentifier) {
    throw new Failure(
      'refused',
      `${label} owns the backups of another cluster (${owned.systemIdentifier}) than the one to restore`,
      {
        hint: 'Restore onto a cluster of its own: pg_createcluster makes one, --cluster names it.',
      },
    );
  }
  if (owned !== undefined && !request.inPlace) {
    throw new Failure('refused', `${label} is the cluster that these backups belong to, and would be overwritten`, {
      hint: 'To set this very cluster back, add --in-place. To look at old data, restore onto a spare.',
    });
  }
  if (owned === undefined && request.inPlace) {
    throw new Failure(
      'refused',
      `${label} does not own the cluster ${restored.systemIdentifier}: there is nothing to restore in place`,
      {
        hint: 'Leave --in-place out to make a copy here; add --take-over if it shall go on as its successor.',
      },
    );
  }
  return notes(local, restored, request);
}

function notes(
  local: LocalStanding,
  restored: ClusterCatalogue,
  request: { readonly takeOver: boolean; readonly discardOld: boolean },
): readonly string[] {
  const { label, running, systemIdentifier, owned } = local;
  const said: string[] = [];
  if (owned !== undefined) {
    said.push(
      'What has been written until now and is not archived yet is archived first, as far as it can be read; the stop stays the one of this plan.',
    );
    if (request.takeOver) said.push('--take-over adds nothing: in place the result goes on as the same owner.');
    return said;
  }
  const fate = request.discardOld ? 'REMOVED' : 'set aside';
  if (systemIdentifier === restored.systemIdentifier) {
    said.push(`${label} is an earlier copy of this cluster; its contents are ${fate}.`);
  } else if (systemIdentifier !== undefined) {
    said.push(
      `${label} holds a cluster (${systemIdentifier}) that is not kept by this unit; its contents are ${fate}.`,
    );
  }
  if (running) said.push(`${label} is running and is stopped first.`);
  return said;
}
