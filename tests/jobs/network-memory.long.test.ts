import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { settingsFile } from '../../src/system/home.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner } from '../setup/machine.ts';
import { runForPeak } from '../setup/peak-memory.ts';
import { startSshd, type Sshd } from '../setup/sshd.ts';

let server: Sshd;
let archived: ArchivedCluster;

beforeAll(async () => {
  becomeOwner();
  server = await startSshd();
  archived = await makeArchivedCluster({
    archiving: false,
    segmentMiB: 16,
    destination: server.options(server.folder),
    settings: { max_wal_size: '2GB' },
  });
  await appendFile(settingsFile(archived.machine.home), 'wal-archiving: false\n');
  await archived.server.sql('CREATE EXTENSION pgcrypto');
  await archived.server.sql('CREATE TABLE noise AS SELECT gen_random_bytes(1000) AS b FROM generate_series(1, 600000)');
}, 600_000);

afterAll(async () => {
  await archived.repository.storage.close();
  await archived.machine.destroy();
  await server.stop();
});

const planSchema = z.object({ plan: z.object({ id: z.string() }) });

/** Runs a command, and gives back its plan where it makes one. */
async function expectLittle(...args: readonly string[]): Promise<string> {
  const { machine } = archived;
  const program = join(machine.runtime, 'bin', 'landscape-backup');
  const ended = await runForPeak(program, [...args, '--home', machine.home, '--format', 'json'], machine.env);
  expect(ended.exitCode, ended.stderr + ended.stdout).toBe(0);
  expect(ended.mostBytes).toBeGreaterThan(20_000_000);
  expect(ended.mostBytes).toBeLessThan(200_000_000);
  return ended.stdout;
}

test('what does not compress goes to an SFTP server, and is copied back from there, in less than 200 MB of memory', async () => {
  await expectLittle('backup');
  await expectLittle('backup');

  const place = join(archived.machine.root, 'copy');
  await mkdir(place);
  const copy = ['copy-repository', `--to=file://${place}`];
  const { plan } = planSchema.parse(JSON.parse(await expectLittle(...copy)));
  await expectLittle(...copy, `--confirm=${plan.id}`);
}, 600_000);
