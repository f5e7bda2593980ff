import { execa } from 'execa';
import { appendFileSync } from 'node:fs';
import { appendFile, mkdir, open, readFile, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupContext } from '../../src/jobs/backup-run.ts';
import { takeBackup } from '../../src/jobs/backup.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { layout } from '../../src/repository/layout.ts';
import { withPace } from '../../src/storage/pace.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { readOwnerState, writeOwnerState } from '../../src/system/home.ts';
import { readJournal } from '../../src/system/journal.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner } from '../setup/machine.ts';
import { proveBackup } from '../setup/prove-backup.ts';

let archived: ArchivedCluster;
const quick = { probeMs: 2_000, walMs: 4_000 };

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster({ segmentMiB: 4 });
  await archived.server.sql('CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 1000) n');
});

afterAll(async () => {
  await archived.machine.destroy();
});

async function catalogue() {
  const [incarnation] = (await readCatalogue(archived.repository, archived.place.systemIdentifier)).incarnations;
  if (incarnation === undefined) throw new Error('the incarnation has gone');
  return incarnation;
}

/** What was made to happen while a cluster is copied; a test waits for it before it goes on. */
let happening: Promise<void> | undefined;

/** A context in which something happens as soon as the copy begins. */
function whenCopying(happens: () => Promise<void>, context: BackupContext = backupContext(archived)): BackupContext {
  happening = undefined;
  const progress: BackupContext['progress'] = ({ phase }) => {
    if (phase === 'copying the cluster') happening ??= happens();
  };
  return { ...context, progress };
}

async function lastJob() {
  return (await readJournal(archived.unit)).at(-1);
}

/** A pin to a repository that is not there: our own program refuses to archive. */
function withOtherRepository(pin: string): string {
  return pin.replace(/"repositoryId": "...../, '"repositoryId": "00000');
}

/** Everything that stands at the destination below a backup's folders, as far as it belongs to no complete backup. */
async function restsOfBackups(): Promise<readonly string[]> {
  const { backups } = await catalogue();
  const complete = new Set(backups.map(({ id }) => `${layout.backup(archived.place, id)}`));
  const rests: string[] = [];
  for await (const { key } of archived.repository.storage.list(layout.base(archived.place))) {
    if (![...complete].some((folder) => key.startsWith(folder))) rests.push(key);
  }
  return rests;
}

describe('a backup', () => {
  test('is all that its record says, and says it in the repository and in the journal', async () => {
    const backup = await takeBackup(backupContext(archived), { trigger: 'person', label: 'first' });

    await proveBackup(archived, backup);
    const { backups, unfinished, leases } = await catalogue();
    expect(backups).toEqual([backup]);
    expect(unfinished).toEqual([]);
    expect(leases.map(({ lease }) => lease?.ended)).toEqual([true]);
    expect(leases[0]?.lease?.from?.lsn).toBeLessThanOrEqual(backup.startLsn);
    expect(backup).toMatchObject({ label: 'first', cluster: '15/main', withWal: false, badPages: false, major: '15' });
    expect(backup.stopLsn).toBeGreaterThan(backup.startLsn);
    expect(await lastJob()).toMatchObject({ outcome: 'succeeded', trigger: 'person', about: { backup: backup.id } });
    const names = backup.settings.map(({ name }) => name);
    expect(names).toContain('max_connections');
    expect(names).not.toContain('archive_command');
  });

  test('of tablespaces and of a cluster that is written to is whole', async () => {
    const { server, machine, cluster } = archived;
    for (const name of ['one', 'two']) {
      await mkdir(join(machine.root, 'data', name), { mode: 0o700 });
      await server.sql(`CREATE TABLESPACE ${name} LOCATION '${join(machine.root, 'data', name)}'`);
    }
    await server.sql('CREATE DATABASE bench TABLESPACE one');
    const connection = ['-h', cluster.socketDirectory, '-p', String(cluster.port), 'bench'];
    await execa('pgbench', ['-i', '-q', '-s', '5', '--index-tablespace=two', ...connection]);
    const writing = execa('pgbench', ['-T', '4', '-c', '2', ...connection]);

    const backup = await takeBackup(backupContext(archived), { trigger: 'schedule' });

    await writing;
    expect(backup.archives.map(({ oid }) => oid === null)).toEqual([false, false, true]);
    expect(backup.plainBytes).toBeGreaterThan(64_000_000);
    await proveBackup(archived, backup);
    await server.sql('DROP DATABASE bench');
    for (const name of ['one', 'two']) await server.sql(`DROP TABLESPACE ${name}`);
  });

  test('sends its parts and files as fast as the limit allows, and its records as they come', async () => {
    const { repository, place } = archived;
    const paced: (string | undefined)[] = [];
    const storage: Storage = {
      ...withPace(repository.storage, { take: async () => undefined }),
      put: async (key, body, pace) => {
        paced.push(pace === undefined ? undefined : key);
        await repository.storage.put(key, body, pace);
      },
    };
    await appendFile(join(archived.cluster.configDirectory, 'pg_ident.conf'), '# as long as this is new\n');
    const limited = backupContext({ ...archived, repository: { ...repository, storage } }, { 'upload-limit': 100_000 });

    const backup = await takeBackup(limited, { trigger: 'person' });

    const parts = backup.archives.flatMap((archive) => archive.parts.map(({ name }) => name));
    expect(paced).toEqual([
      expect.stringMatching(/^files\/.*\/files\.tar\.zst$/),
      ...[...parts, 'backup_manifest'].map((name) => layout.backup(place, backup.id) + name),
    ]);
    await proveBackup(archived, backup);
  });

  test('without archiving carries its own WAL', async () => {
    const backup = await takeBackup(backupContext(archived, { 'wal-archiving': false }), { trigger: 'person' });

    const folder = await proveBackup(archived, backup);
    expect(backup.withWal).toBe(true);
    expect((await readdir(join(folder, 'base', 'pg_wal'))).filter((name) => name.length === 24)).not.toEqual([]);
  });

  test('tells how far it is', async () => {
    const phases: string[] = [];
    const notes: (string | undefined)[] = [];
    const progress: BackupContext['progress'] = ({ phase, bytes, note }) => {
      if (phases.at(-1) !== phase) phases.push(phase);
      if (phase === 'copying the cluster' && bytes !== undefined) notes.push(note);
    };
    await takeBackup({ ...backupContext(archived), progress }, { trigger: 'person' });

    expect(phases).toEqual([
      'checking',
      'keeping the configuration files',
      'proving that WAL arrives',
      'copying the cluster',
      'waiting for WAL',
      'writing the record',
    ]);
    expect(notes.at(0)).toMatch(/^[\d.]+ [KMG]?i?B sent$/);
  });

  test('of which two are begun at once is one, and the other is told', async () => {
    const both = await Promise.allSettled([
      takeBackup(backupContext(archived), { trigger: 'person' }),
      takeBackup(backupContext(archived), { trigger: 'schedule' }),
    ]);

    const failures: unknown[] = both.filter((each) => each.status === 'rejected').map((each): unknown => each.reason);
    expect(failures).toMatchObject([{ kind: 'busy', message: 'a backup of 15/main is already running' }]);
  });

  test('from two hosts of the same owner is two backups, both whole', async () => {
    const elsewhere = {
      ...archived.unit,
      lock: (name: string) => join(archived.machine.root, 'home', `other-${name}.lock`),
    };
    const both = await Promise.all([
      takeBackup(backupContext(archived), { trigger: 'person' }),
      takeBackup({ ...backupContext(archived), unit: elsewhere }, { trigger: 'person' }),
    ]);

    for (const backup of both) await proveBackup(archived, backup);
    expect((await catalogue()).backups.map(({ id }) => id)).toEqual(expect.arrayContaining(both.map(({ id }) => id)));
  });

  test('of a cluster with a bad page is kept and says so', async () => {
    const { server, cluster } = archived;
    await server.sql('CREATE TABLE broken AS SELECT n FROM generate_series(1, 1000) n; CHECKPOINT');
    const path = join(cluster.dataDirectory, await server.sql("SELECT pg_relation_filepath('broken')"));
    const file = await open(path, 'r+');
    await file.write(Buffer.from('spoilt'), 0, 6, 4000);
    await file.close();

    const backup = await takeBackup(backupContext(archived), { trigger: 'person' });
    await server.sql('DROP TABLE broken');

    expect(backup.badPages).toBe(true);
    await proveBackup(archived, backup);
    expect(await lastJob()).toMatchObject({ outcome: 'succeeded', numbers: { badPages: 1 } });
  });
});

describe('a backup that fails leaves nothing that looks like one, says so, and the next one succeeds', () => {
  async function proveNextSucceeds(): Promise<void> {
    const backup = await takeBackup(backupContext(archived), { trigger: 'retry' });
    await proveBackup(archived, backup);
  }

  test('when the server dies in the middle', async () => {
    const before = (await catalogue()).backups.length;
    const failing = takeBackup(
      whenCopying(async () => await archived.server.kill()),
      { trigger: 'person' },
    );

    await expect(failing).rejects.toMatchObject({ kind: 'postgres' });
    await happening;
    expect((await catalogue()).backups.length).toBe(before);
    expect(await restsOfBackups()).toEqual([]);
    expect(await lastJob()).toMatchObject({ outcome: 'failed', failure: { kind: 'postgres' } });
    await archived.server.start();
    await proveNextSucceeds();
  });

  test('when it is stopped', async () => {
    const controller = new AbortController();
    const context = whenCopying(async () => {
      controller.abort();
    });

    await expect(takeBackup({ ...context, signal: controller.signal }, { trigger: 'person' })).rejects.toMatchObject({
      kind: 'machine',
      message: 'the backup was stopped',
    });
    expect(await restsOfBackups()).toEqual([]);
    expect((await catalogue()).leases.map(({ lease }) => lease?.ended)).not.toContain(false);
    await proveNextSucceeds();
  });

  test('when the destination goes away in the middle', async () => {
    const { destination } = archived.machine;
    const failing = takeBackup(
      whenCopying(async () => {
        await rename(destination, `${destination}-away`);
        await mkdir(destination);
      }),
      { trigger: 'person' },
    );

    await expect(failing).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('no longer the file system that was opened'),
    });
    expect(await readdir(destination)).toEqual([]);
    await rmdir(destination);
    await rename(`${destination}-away`, destination);
    expect(await lastJob()).toMatchObject({ outcome: 'failed', failure: { kind: 'unavailable' } });
    await proveNextSucceeds();
  });

  test('when WAL stops arriving while it is copied', async () => {
    const pin = await readFile(archived.unit.pin, 'utf8');
    const stopArchiving = async () => await writeFile(archived.unit.pin, withOtherRepository(pin));
    const failing = takeBackup(whenCopying(stopArchiving), { trigger: 'person', patience: quick });

    await expect(failing).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(
        /the WAL that this backup needs does not arrive: [0-9A-F]{24} is not stored.*archive_command has failed \d+ times/,
      ),
    });
    expect(await restsOfBackups()).toEqual([]);
    await writeFile(archived.unit.pin, pin);
    await proveNextSucceeds();
  });
});

describe('a backup is refused before anything is copied', () => {
  /** Fails and has stored nothing at all but, at most, the record of its lease. */
  async function refused(context: BackupContext, failure: Record<string, unknown>, label?: string): Promise<void> {
    const before: string[] = [];
    for await (const { key } of archived.repository.storage.list(layout.base(archived.place))) before.push(key);

    await expect(takeBackup(context, { trigger: 'person', label, patience: quick })).rejects.toMatchObject(failure);

    const after: string[] = [];
    for await (const { key } of archived.repository.storage.list(layout.base(archived.place))) after.push(key);
    expect(after).toEqual(before);
  }

  test('where this unit is not the owner', async () => {
    const state = await readOwnerState(archived.unit);
    if (state === undefined) throw new Error('no owner');
    await writeOwnerState(archived.unit, { ...state, ownerId: 'somebody else' });

    await refused(backupContext(archived), {
      kind: 'refused',
      message: expect.stringContaining('belongs to 15-main of test-host'),
    });

    await writeOwnerState(archived.unit, { ...state, incarnation: 2 });
    await refused(backupContext(archived), {
      kind: 'refused',
      message: expect.stringContaining('is not in this repository'),
    });
    await writeOwnerState(archived.unit, state);
  });

  test('where this unit owns nothing', async () => {
    const unit = { ...archived.unit, owner: join(archived.machine.root, 'none.json') };

    await refused(
      { ...backupContext(archived), unit },
      { kind: 'refused', message: expect.stringContaining('does not own the cluster 15/main') },
    );
  });

  test('where the cluster is another one than was owned', async () => {
    const other = await archived.machine.createCluster('other');
    await other.start();

    await refused(
      { ...backupContext(archived), cluster: await other.look() },
      { kind: 'refused', message: expect.stringContaining('this unit owns') },
    );
    await other.stop();
    await refused({ ...backupContext(archived), cluster: await other.look() }, { kind: 'postgres' });
  });

  test('where somebody else archives', async () => {
    await archived.server.sql("ALTER SYSTEM SET archive_command = '/bin/true'");
    await archived.server.sql('SELECT pg_reload_conf(), pg_sleep(0.5)');

    await refused(backupContext(archived), {
      kind: 'refused',
      message: expect.stringContaining('archive_command is "/bin/true"'),
    });

    await archived.server.sql('ALTER SYSTEM RESET archive_command');
    await archived.server.sql('SELECT pg_reload_conf(), pg_sleep(0.5)');
  });

  test('where archiving does not work', async () => {
    const pin = await readFile(archived.unit.pin, 'utf8');
    await writeFile(archived.unit.pin, withOtherRepository(pin));

    await refused(backupContext(archived), {
      kind: 'unavailable',
      message: expect.stringContaining('does not arrive'),
    });

    await writeFile(archived.unit.pin, pin);
  });

  test('where the destination has no room', async () => {
    const { repository } = archived;
    const storage = new Proxy(repository.storage, {
      get: (target, name) => {
        if (name === 'freeBytes') return async () => 1_000_000;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value; // cast: bind forgets what it binds.
      },
    });

    await refused(
      { ...backupContext(archived), repository: { ...repository, storage } },
      { kind: 'unavailable', message: expect.stringMatching(/has 1 MB free; a backup of \d+ MB needs about \d+ MB/) },
    );
  });

  test.each(['two\nlines', 'x'.repeat(201)])('where the label is no short line (%#)', async (label) => {
    await refused(backupContext(archived), { kind: 'usage' }, label);
  });
});

test('the configuration goes along once, without our own file, and again when it changed', async () => {
  const { cluster } = archived;
  const first = await takeBackup(backupContext(archived), { trigger: 'person' });
  await writeFile(join(cluster.configDirectory, 'conf.d', 'landscape-backup.conf'), '# ours\n');
  const second = await takeBackup(backupContext(archived), { trigger: 'person' });
  appendFileSync(join(cluster.configDirectory, 'pg_hba.conf'), '# changed\n');
  const third = await takeBackup(backupContext(archived), { trigger: 'person' });
  await rm(join(cluster.configDirectory, 'conf.d', 'landscape-backup.conf'));

  expect(second.fileSet).toBe(first.fileSet);
  expect(third.fileSet).not.toBe(first.fileSet);
});
