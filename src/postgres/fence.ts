import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { readText, removeFile, writeAtomically } from '../system/files.ts';
import type { Cluster } from './cluster.ts';

/** What `start.conf` says while a restore is under way; postgresql-common then starts the cluster for nobody. */
const fencedText = `# landscape-backup restores this cluster: nobody may start it meanwhile.
# "landscape-backup restore --continue" or "landscape-backup abandon-restore" ends that and puts back what stood here.
disabled
`;

function startFile({ configDirectory }: Pick<Cluster, 'configDirectory'>): string {
  return join(configDirectory, 'start.conf');
}

/** What stands in the cluster's `start.conf`, to be put back one day; null when it has none. */
export async function readStartFile(cluster: Pick<Cluster, 'configDirectory'>): Promise<string | null> {
  return (await readText(startFile(cluster))) ?? null;
}

/** Makes postgresql-common, and systemd through it, refuse to start the cluster. What stood there must be kept before. */
export async function fence(cluster: Pick<Cluster, 'configDirectory'>): Promise<void> {
  if ((await readStartFile(cluster)) === fencedText) return;
  await writeAtomically(startFile(cluster), fencedText, 0o644);
}

/** Puts back what stood in `start.conf`; who changed it meanwhile is left alone. */
export async function unfence(cluster: Pick<Cluster, 'configDirectory'>, found: string | null): Promise<void> {
  if ((await readStartFile(cluster)) !== fencedText) return;
  if (found === null) await removeFile(startFile(cluster));
  else await writeAtomically(startFile(cluster), found, 0o644);
}

/** Fails with `refused` for a text that is the fence itself: putting it back would leave the cluster shut for good. */
export function checkFound(found: string | null): string | null {
  if (found !== fencedText) return found;
  throw new Failure('refused', 'the cluster is fenced by a restore that this unit knows nothing of', {
    hint: 'Write auto, manual or disabled into its start.conf, as it was before, then try again.',
  });
}
