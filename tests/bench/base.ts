import { execa } from 'execa';
import { join } from 'node:path';
import { z } from 'zod';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import type { DestinationOptions } from '../setup/destinations.ts';
import { comparePrograms, measure, type Measured } from './measure.ts';
import { fillRows } from './rows.ts';

/** What a part of the bench is told. */
export interface Size {
  readonly gigabytes: number;
  readonly runs: number;
}

/** To be as fast as the other. */
export const reach = 'at most 1';

/** Who ours is compared with, on one destination. */
export interface Theirs {
  readonly name: string;
  backup(archived: ArchivedCluster): Promise<Measured>;
  unpack(archived: ArchivedCluster): Promise<Measured>;
}

const planSchema = z.object({ plan: z.object({ id: z.string() }) });

/** Backs up and unpacks, both in turn, with the repository at a destination; `prepare` makes the peer ready when ours has once backed up. */
export async function benchBase(
  what: string,
  options: DestinationOptions,
  { gigabytes, runs }: Size,
  prepare: Prepare,
): Promise<void> {
  const archived = await makeArchivedCluster({
    segmentMiB: 16,
    destination: options,
    settings: { shared_buffers: '256MB', max_wal_size: '2GB' },
  });
  try {
    const { machine, server, cluster } = archived;
    await fillRows(server, gigabytes, 'well');
    const program = join(machine.runtime, 'bin', 'landscape-backup');
    const backup = async () => await measure(program, ['backup', '--cluster', cluster.label], machine.env);
    await backup();
    const theirs = await prepare(archived);
    await comparePrograms(
      `${what}: backup`,
      reach,
      runs,
      backup,
      theirs.name,
      async () => await theirs.backup(archived),
    );

    const spare = await machine.createCluster('spare', { segmentMiB: 16 });
    const copy = ['restore', '--to', 'backup', '--discard-old', '--cluster', spare.cluster.label, '--format', 'json'];
    const unpack = async () => {
      const { stdout } = await execa(program, copy, { env: machine.env, cwd: '/' });
      const { plan } = planSchema.parse(JSON.parse(stdout));
      const measured = await measure(program, [...copy, `--confirm=${plan.id}`], machine.env, 'unpacking the backup');
      await spare.stop('immediate');
      return measured;
    };
    const fetched = async () => await theirs.unpack(archived);
    await comparePrograms(`${what}: unpacking a backup`, reach, runs, unpack, theirs.name, fetched);
  } finally {
    await archived.repository.storage.close();
    await archived.machine.destroy();
  }
}

type Prepare = (archived: ArchivedCluster) => Promise<Theirs>;
