import type { Readable } from 'node:stream';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { makeControl } from '../postgres/control.ts';
import { findCluster, type Cluster } from '../postgres/cluster.ts';
import { makeOwnedFolder } from '../system/files.ts';
import { readSettings, unitFolder } from '../system/home.ts';
import { serve } from '../system/process.ts';

const requestSchema = z.object({ do: z.enum(['start', 'stop']) });

/**
 * Runs the same command as the cluster's owner, and starts and stops the cluster for it when it asks.
 *
 * Root does nothing else: it makes the unit's folder for the owner, and never follows a path in a directory that the owner
 * can write. Which cluster is meant is decided here and not by the request. `input` is its standard input.
 */
export async function runAsOwner(
  program: readonly string[],
  args: readonly string[],
  options: { home: string; cluster: string | undefined; input?: Readable | undefined },
): Promise<number> {
  const settings = await readSettings(options.home);
  const cluster = await findCluster(options.cluster, settings.clusters);
  await makeUnitFolder(options.home, cluster);
  const [command, owned] = asOwner(cluster, [...program, ...args]);
  const answer = async (request: unknown) => {
    await act(cluster, requestSchema.parse(request).do);
  };
  return await serve(command, owned, answer, options.input);
}

/** Makes a cluster's folder for its owner. Fails with `refused` for a cluster of root's. */
export async function makeUnitFolder(home: string, cluster: Cluster): Promise<void> {
  if (cluster.ownerUid === 0)
    throw new Failure('refused', `the cluster ${cluster.label} belongs to root`, {
      hint: 'PostgreSQL itself refuses that: give it to postgres.',
    });
  await makeOwnedFolder(unitFolder(home, cluster.unit).path, { uid: cluster.ownerUid, gid: cluster.ownerGid });
}

/** How a program is called as a cluster's owner. */
export function asOwner(cluster: Cluster, program: readonly string[]): readonly [string, readonly string[]] {
  const become = ['--reuid', String(cluster.ownerUid), '--regid', String(cluster.ownerGid), '--init-groups'];
  return ['setpriv', [...become, '--', ...program]];
}

async function act(cluster: Cluster, what: 'start' | 'stop'): Promise<void> {
  const control = makeControl();
  await (what === 'start' ? control.start(cluster) : control.stop(cluster));
}
