import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { z } from 'zod';
import type { ArchivedCluster } from '../setup/archived-cluster.ts';
import { startCeph } from '../setup/ceph.ts';
import type { DestinationOptions } from '../setup/destinations.ts';
import { becomeOwner } from '../setup/machine.ts';
import { makeNoisyCluster, runInLittleMemory } from '../setup/noise.ts';
import { startSshd } from '../setup/sshd.ts';
import { makeBucket } from '../storage/s3-site.ts';

/** A running server, and how it is reached. */
interface Site {
  readonly options: DestinationOptions;
  readonly stop: () => Promise<void>;
}

async function startSftp(): Promise<Site> {
  const server = await startSshd();
  return { options: server.options(server.folder), stop: async () => await server.stop() };
}

async function startS3(): Promise<Site> {
  const ceph = await startCeph();
  (await makeBucket(ceph, 'backups')).destroy();
  const options = { destination: 's3://backups/ours', ...ceph.tlsOptions };
  return { options, stop: async () => await ceph.stop() };
}

const planSchema = z.object({ plan: z.object({ id: z.string() }) });

describe.each([
  { what: 'an SFTP server', start: startSftp },
  { what: 'an S3 store by TLS', start: startS3 },
])('$what', ({ start }) => {
  let site: Site;
  let archived: ArchivedCluster;

  beforeAll(async () => {
    becomeOwner();
    site = await start();
    archived = await makeNoisyCluster(600_000, site.options);
  }, 600_000);

  afterAll(async () => {
    await archived.repository.storage.close();
    await archived.machine.destroy();
    await site.stop();
  });

  test('takes what does not compress, and gives it to a copy, in less than 200 MB of memory', async () => {
    const { machine } = archived;
    await runInLittleMemory(machine, ['backup']);

    const place = join(machine.root, 'copy');
    await mkdir(place);
    const copy = ['copy-repository', `--to=file://${place}`];
    const { plan } = planSchema.parse(await runInLittleMemory(machine, copy));
    await runInLittleMemory(machine, [...copy, `--confirm=${plan.id}`]);
  }, 600_000);
});
