import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { settingsFile } from '../../src/system/home.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { startCeph } from '../setup/ceph.ts';
import type { DestinationOptions } from '../setup/destinations.ts';
import { becomeOwner } from '../setup/machine.ts';
import { runForPeak } from '../setup/peak-memory.ts';
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
    archived = await makeArchivedCluster({
      archiving: false,
      segmentMiB: 16,
      destination: site.options,
      settings: { max_wal_size: '2GB' },
    });
    await appendFile(settingsFile(archived.machine.home), 'wal-archiving: false\n');
    await archived.server.sql('CREATE EXTENSION pgcrypto');
    await archived.server.sql(
      'CREATE TABLE noise AS SELECT gen_random_bytes(1000) AS b FROM generate_series(1, 600000)',
    );
  }, 600_000);

  afterAll(async () => {
    await archived.repository.storage.close();
    await archived.machine.destroy();
    await site.stop();
  });

  /** Runs a command and gives back what it told. */
  async function expectLittle(...args: readonly string[]): Promise<string> {
    const { machine } = archived;
    const program = join(machine.runtime, 'bin', 'landscape-backup');
    const ended = await runForPeak(program, [...args, '--home', machine.home, '--format', 'json'], machine.env);
    expect(ended.exitCode, ended.stderr + ended.stdout).toBe(0);
    expect(ended.mostBytes).toBeGreaterThan(20_000_000);
    expect(ended.mostBytes).toBeLessThan(200_000_000);
    return ended.stdout;
  }

  test('takes what does not compress, and gives it to a copy, in less than 200 MB of memory', async () => {
    await expectLittle('backup');

    const place = join(archived.machine.root, 'copy');
    await mkdir(place);
    const copy = ['copy-repository', `--to=file://${place}`];
    const { plan } = planSchema.parse(JSON.parse(await expectLittle(...copy)));
    await expectLittle(...copy, `--confirm=${plan.id}`);
  }, 600_000);
});
