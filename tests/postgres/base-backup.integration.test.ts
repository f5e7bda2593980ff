import { execa } from 'execa';
import { createWriteStream } from 'node:fs';
import { access, appendFile, mkdir, mkdtemp, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withBaseBackup, type BaseBackupEnd, type RunningBaseBackup } from '../../src/postgres/base-backup.ts';
import type { BaseBackupRequest, Compression } from '../../src/postgres/base-backup-command.ts';
import type { Cluster } from '../../src/postgres/cluster.ts';
import { segmentName, segmentOf } from '../../src/core/wal-name.ts';
import { asOwner, becomeOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

let machine: Machine;
let server: TestCluster;
let cluster: Cluster;
const inServer: Compression = { where: 'server', level: 1, workers: 2 };

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  server = await machine.createCluster('main', { settings: { max_wal_senders: '3' } });
  await server.start();
  cluster = await server.look();
  for (const name of ['one', 'two']) await mkdir(join(machine.root, 'data', name), { mode: 0o700 });
  await server.sql(`CREATE TABLESPACE one LOCATION '${join(machine.root, 'data', 'one')}'`);
  await server.sql(`CREATE TABLESPACE two LOCATION '${join(machine.root, 'data', 'two')}'`);
  await server.sql(`
    CREATE TABLE here AS SELECT n, md5(n::text) AS t FROM generate_series(1, 20000) n;
    CREATE TABLE there TABLESPACE one AS SELECT n, md5(n::text) AS t FROM generate_series(1, 20000) n;
    CREATE TABLE elsewhere TABLESPACE two AS SELECT n FROM generate_series(1, 1000) n;`);
});

afterAll(async () => {
  await machine.destroy();
});

interface Received {
  readonly folder: string;
  readonly backup: RunningBaseBackup;
  readonly end: BaseBackupEnd;
}

/** Takes a backup into a directory: `base`, one folder for each tablespace's oid, all unpacked, and the manifest. */
async function receive(versionNumber: number, request: Partial<BaseBackupRequest>): Promise<Received> {
  const folder = await mkdtemp(join(machine.root, 'data', 'received-'));
  const all: BaseBackupRequest = { label: 'a test', withWal: true, compression: inServer, ...request };
  return await withBaseBackup(cluster, versionNumber, all, new AbortController().signal, async (backup) => {
    for await (const object of backup.objects) {
      if (object.kind === 'manifest') {
        await pipeline(Readable.from(object.body), createWriteStream(join(folder, 'backup_manifest')));
        continue;
      }
      const into = join(folder, object.oid === null ? 'base' : String(object.oid));
      await mkdir(into, { mode: 0o700 });
      const unzstd = backup.compression.where === 'server' ? ['--use-compress-program=zstd -dq'] : [];
      const tar = execa('tar', ['-x', ...unzstd, '-C', into, '-f', '-'], { stdin: 'pipe' });
      await pipeline(Readable.from(object.body), tar.stdin);
      await tar;
    }
    return { folder, backup, end: await backup.end() };
  });
}

/** Joins what was received as PostgreSQL wants it for `pg_verifybackup`, and says what that finds. */
async function verify({ folder, backup }: Received): Promise<void> {
  for (const { oid, location } of backup.tablespaces) {
    if (oid === null || location === null) continue;
    await asOwner('ln', ['-s', join(folder, String(oid)), join(folder, 'base', 'pg_tblspc', String(oid))]);
  }
  await asOwner('cp', [join(folder, 'backup_manifest'), join(folder, 'base', 'backup_manifest')]);
  await asOwner(join(cluster.binaries, 'pg_verifybackup'), [join(folder, 'base')]);
}

describe('a base backup', () => {
  test('compressed by the server is what its manifest says, tablespaces and WAL included', async () => {
    const received = await receive(150_000, {});

    await verify(received);
    const [, last] = received.backup.tablespaces;
    expect(received.backup.tablespaces.map(({ oid }) => oid === null)).toEqual([false, false, true]);
    expect(last?.location).toBe(join(machine.root, 'data', 'two'));
    expect(received.backup.compression).toEqual(inServer);
    expect(received.end).toMatchObject({ timeline: 1, badPages: false, warnings: [] });
    expect(received.end.lsn).toBeGreaterThan(received.backup.start.lsn);
    expect(received.backup.plainBytes()).toBeGreaterThan(4_000_000);
  });

  test('not compressed by the server is the same', async () => {
    const received = await receive(150_000, { compression: { where: 'client', level: 1 } });

    await verify(received);
    expect(received.backup.compression).toEqual({ where: 'client', level: 1 });
  });

  test('is taken again, and compressed here, when the server can not compress like that', async () => {
    const { backup } = await receive(150_000, { compression: { where: 'server', level: 100, workers: 2 } });

    expect(backup.compression).toEqual({ where: 'client', level: 100 });
  });

  test('keeps the server waiting and little in memory when its bytes are taken slowly', async () => {
    await server.sql(
      'CREATE TABLE wide AS SELECT random() AS a, random() AS b, random() AS c FROM generate_series(1, 1500000)',
    );
    let mostAhead = 0;
    await withBaseBackup(
      cluster,
      150_000,
      { label: 'slow', withWal: false, compression: { where: 'client', level: 1 } },
      new AbortController().signal,
      async (backup) => {
        let taken = 0;
        for await (const { body } of backup.objects) {
          for await (const chunk of body) {
            taken += chunk.byteLength;
            await new Promise((resolve) => setTimeout(resolve, 20));
            mostAhead = Math.max(mostAhead, backup.plainBytes() - taken);
          }
        }
        await backup.end();
        expect(taken).toBeGreaterThan(60_000_000);
      },
    );
    await server.sql('DROP TABLE wide');

    expect(mostAhead).toBeLessThan(20 * 1024 * 1024);
  });

  test('carries WAL that the server would have recycled before its end', async () => {
    await server.sql('CREATE TABLE filler AS SELECT random() AS a FROM generate_series(1, 500000)');
    const request: BaseBackupRequest = { label: 'long', withWal: true, compression: { where: 'client', level: 1 } };
    await withBaseBackup(cluster, 150_000, request, new AbortController().signal, async (backup) => {
      const first = join(
        cluster.dataDirectory,
        'pg_wal',
        segmentName(1, segmentOf(backup.start.lsn, 1024 * 1024), 1024 * 1024),
      );
      for (let turn = 0; turn < 4; turn += 1) await server.sql('SELECT txid_current(), pg_switch_wal(); CHECKPOINT');
      await access(first);
      for await (const { body } of backup.objects) for await (const _chunk of body);
      await backup.end();
    });

    await server.sql('DROP TABLE filler');
    expect(await server.sql('SELECT count(*) FROM pg_replication_slots')).toBe('0');
  });

  test('of a cluster with a bad page is whole and says so', async () => {
    await server.sql('CREATE TABLE broken AS SELECT n FROM generate_series(1, 1000) n; CHECKPOINT');
    const path = join(cluster.dataDirectory, await server.sql("SELECT pg_relation_filepath('broken')"));
    const file = await open(path, 'r+');
    await file.write(Buffer.from('spoilt'), 0, 6, 4000);
    await file.close();

    const received = await receive(150_000, {});
    await server.sql('DROP TABLE broken');

    expect(received.end.badPages).toBe(true);
    expect(received.end.warnings.join()).toContain('checksum verification failed');
    await verify(received);
  });

  test('that is given up leaves nothing running on the server', async () => {
    const giveUp = withBaseBackup(
      cluster,
      150_000,
      { label: 'given up', withWal: false, compression: inServer },
      new AbortController().signal,
      async () => {
        throw new Error('enough');
      },
    );

    await expect(giveUp).rejects.toThrow('enough');
    await expect
      .poll(async () => await server.sql('SELECT count(*) FROM pg_stat_replication'), { timeout: 10_000 })
      .toBe('0');
  });

  test('that is stopped by its signal ends at once', async () => {
    const controller = new AbortController();
    const stopped = withBaseBackup(
      cluster,
      150_000,
      { label: 'stopped', withWal: false, compression: inServer },
      controller.signal,
      async (backup) => {
        controller.abort();
        for await (const { body } of backup.objects) for await (const _chunk of body);
        await backup.end();
      },
    );

    await expect(stopped).rejects.toMatchObject({ kind: 'machine', message: 'the backup was stopped' });
  });

  test('of a server that dies in the middle fails', async () => {
    const died = withBaseBackup(
      cluster,
      150_000,
      { label: 'died', withWal: false, compression: { where: 'client', level: 1 } },
      new AbortController().signal,
      async (backup) => {
        await server.kill();
        for await (const { body } of backup.objects) for await (const _chunk of body);
        await backup.end();
      },
    );

    await expect(died).rejects.toMatchObject({ kind: 'postgres' });
    await server.start();
  });

  test('that pg_hba.conf does not allow names the line that is missing', async () => {
    const hba = join(cluster.configDirectory, 'pg_hba.conf');
    const before = await readFile(hba, 'utf8');
    await writeFile(hba, before.replaceAll(/^.*replication.*$/gm, ''));
    await server.sql('SELECT pg_reload_conf(), pg_sleep(0.3)');

    await expect(receive(150_000, {})).rejects.toMatchObject({
      kind: 'postgres',
      hint: expect.stringContaining('local replication postgres peer'),
    });

    await writeFile(hba, before);
    await server.sql('SELECT pg_reload_conf(), pg_sleep(0.3)');
  });

  test('without a free sender says which setting is too low', async () => {
    await appendFile(
      join(cluster.configDirectory, 'conf.d', 'test.conf'),
      "max_wal_senders = '0'\nwal_level = 'replica'\n",
    );
    await server.stop();
    await server.start();

    await expect(receive(150_000, {})).rejects.toMatchObject({
      kind: 'postgres',
      hint: expect.stringContaining('max_wal_senders'),
    });
  });
});
