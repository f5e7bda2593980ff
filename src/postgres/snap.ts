import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { listClusters } from './cluster.ts';

/** Where the snap of the PostgreSQL charms for 14 and 16 keeps its configuration. */
const patroniFile = 'var/snap/charmed-postgresql/current/etc/patroni/patroni.yaml';

/** Tells whether this machine's PostgreSQL is the charmed snap: its configuration is there, and no Debian cluster is. */
export async function runsFromSnap(root = '/'): Promise<boolean> {
  const hasPatroni = await access(join(root, patroniFile)).then(
    () => true,
    () => false,
  );
  if (!hasPatroni) return false;
  return await listClusters().then(
    (clusters) => clusters.length === 0,
    () => true, // postgresql-common is not installed.
  );
}
