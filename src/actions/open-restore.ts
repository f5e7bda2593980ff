import type { Intent } from '../core/site-restore.ts';
import { currentIntent } from '../hooks/restore-stage.ts';
import type { Snapshot } from '../hooks/snapshot.ts';

/** The restore over all units that has not ended; what this unit wrote itself counts before the leader has copied it. */
export function openRestore(snapshot: Snapshot): Intent | undefined {
  const latest = latestIntent(snapshot);
  return latest === undefined || latest.ended ? undefined : latest;
}

/** The newest word on a restore that this unit knows of. */
export function latestIntent(snapshot: Snapshot): Intent | undefined {
  const known = currentIntent(snapshot);
  const { intent } = snapshot.own;
  return intent !== undefined && intent.sequence > (known?.sequence ?? 0) ? intent : known;
}
