import { createHash } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { mkdir, readdir, readFile, readlink, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Backup } from '../../../src/core/backup.ts';
import { abandonRestore } from '../../../src/jobs/abandon-restore.ts';
import { takeBackup } from '../../../src/jobs/backup.ts';
import type { JobProgress } from '../../../src/jobs/job-progress.ts';
import { keepPlan } from '../../../src/jobs/kept-plans.ts';
import { removeOld } from '../../../src/jobs/remove-old.ts';
import { runRestore } from '../../../src/jobs/restore/run-restore.ts';
import { asideName } from '../../../src/postgres/directory-contents.ts';
import { layout } from '../../../src/repository/layout.ts';
import { listWal } from '../../../src/repository/wal-store.ts';
import { readOwnerState } from '../../../src/system/home.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../../setup/archived-cluster.ts';
import { becomeOwner, type TestCluster } from '../../setup/machine.ts';
import { plannedRestore, restoreContext } from '../../setup/restore-context.ts';

const rows = `select count(*) || ' ' || md5(string_agg(n || t, ',' order by n)) from`;

let archived: ArchivedCluster;
let backup: Backup;
let space: string;
/** What the tables hold, and a moment after it. */
let good: readonly string[];
let goodTime: Date;
let end: readonly string[];

async function contents(server: TestCluster): Promise<readonly string[]> {
  return [await server.sql(`${rows} here`), await server.sql(`${rows} there`)];
}

/** Every stored object by its path, with its bytes' digest. */
async function objectsOf(): Promise<ReadonlyMap<string, string>> {
  const { destination } = archived.machine;
  const found = new Map<string, string>();
  for (const entry of await readdir(destination, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(
      path,
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    );
  }
  return found;
}

/** Objects can't be written to: another takes the name. */
async function replace(path: string, bytes: Buffer): Promise<void> {
  await writeFile(`${path}.new`, bytes);
  await rename(`${path}.new`, path);
}

async function storedUpTo(segment: string, place = archived.place): Promise<void> {
  for (let left = 150; left > 0; left -= 1) {
    for await (const name of listWal(archived.repository, place)) if (name === segment) return;
    await sleep(200);
  }
  throw new Error(`${segment} was not stored`);
}

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster({ settings: { max_connections: '40', timezone: 'Asia/Tokyo' } });
  const { machine, server } = archived;
  space = join(machine.root, 'data', 'space');
  await mkdir(space, { mode: 0o700 });
  await server.sql(`create tablespace space location '${space}'`);
  await server.sql(`
    create role app login password 'production';
    create table here as select n, md5(n::text) as t from generate_series(1, 5000) n;
    create table there tablespace space as select n, md5(n::text) as t from generate_series(1, 5000) n;
    alter system set primary_conninfo = 'host=production';`);
  backup = await takeBackup(backupContext(archived), { trigger: 'person' });
  await server.sql(`insert into here values (9001, 'later'); insert into there values (9001, 'later')`);
  good = await contents(server);
  goodTime = new Date((await server.sql('select pg_sleep(0.1); select now(); select pg_sleep(0.1)')).trim());
  await server.sql('delete from here; delete from there where n < 100');
  end = await contents(server);
  await storedUpTo(await server.sql('select pg_walfile_name(pg_switch_wal())'));
});

afterAll(async () => {
  await archived.machine.destroy();
});

let count = 0;
let spare: TestCluster;
beforeEach(async () => {
  count += 1;
  spare = await archived.machine.createCluster(`spare${count}`, { settings: { max_connections: '20' } });
});

/** Where this spare's tablespace goes. */
function mapped(): Readonly<Record<string, string>> {
  return { [space]: join(archived.machine.root, 'data', `space-of-spare${count}`) };
}

describe('a restore onto a spare', () => {
  test('brings back every row of the second before the disaster, and is a copy', async () => {
    await spare.start();
    await spare.sql(`create role app login password 'spare'; create role helper login; grant app to helper`);
    const verifier = `select rolpassword from pg_authid where rolname = 'app'`;
    const own = await spare.sql(verifier);
    const told: JobProgress[] = [];
    const progress = (step: JobProgress) => void told.push(step);
    const context = await restoreContext(archived.machine, spare, archived.repository, { progress });
    const request = { target: { to: 'time', time: goodTime, exclusive: false }, tablespaceMap: mapped() } as const;
    const { kept } = await plannedRestore(context, request);

    const restored = await runRestore(context, kept, backup);

    expect(await contents(spare)).toEqual(good);
    expect(restored.reached.switchLsn).toBe(kept.plan.switchLsn);
    expect(restored.reached.rolesCreated).toEqual(['helper']);
    expect(restored.notes).toEqual([]);
    expect(told.findLast(({ phase }) => phase === 'unpacking the backup')).toMatchObject({
      bytes: backup.storedBytes,
      estimatedBytes: backup.storedBytes,
    });
    expect(await spare.sql(verifier)).toBe(own);
    expect(own).toMatch(/^SCRAM-SHA-256/);
    expect(await readFile(join(context.unit.restore, 'recovery.log'), 'utf8')).not.toContain('SCRAM');
    expect(await spare.sql('show max_connections')).toBe('40');
    expect(await spare.sql('show archive_mode')).toBe('off');
    expect(await spare.sql('show timezone')).toBe('Asia/Tokyo');
    expect(await spare.sql('show primary_conninfo')).toBe('');
    expect(await spare.sql(`select pg_has_role('helper', 'app', 'member')`)).toBe('t');
    expect(await readFile(join(spare.cluster.configDirectory, 'start.conf'), 'utf8')).toMatch(/^manual$/m);
    expect(await readOwnerState(context.unit)).toBeUndefined();
    expect((await readdir(context.unit.restore)).filter((name) => /serve|roles/.test(name))).toEqual([]);
  });

  test('leaves the original as it was: not a byte but its own lease is written', async () => {
    const before = await objectsOf();
    const context = await restoreContext(archived.machine, spare, archived.repository);
    const { kept } = await plannedRestore(context, { target: { to: 'end' }, tablespaceMap: mapped() });

    await runRestore(context, kept, backup);
    await spare.sql('create table written as select generate_series(1, 100000); select pg_switch_wal(); checkpoint');

    expect(await contents(spare)).toEqual(end);
    const after = await objectsOf();
    const added = [...after.keys()].filter((key) => !before.has(key));
    expect(added.filter((key) => !key.includes('/guests/'))).toEqual([]);
    expect([...before].filter(([key, bytes]) => after.get(key) !== bytes)).toEqual([]);
  });

  test('can be undone when it is done, and what it set aside can be removed', async () => {
    const wal = join(archived.machine.root, 'data', `wal-of-spare${count}`);
    const data = spare.cluster.dataDirectory;
    await rename(join(data, 'pg_wal'), wal);
    await symlink(wal, join(data, 'pg_wal'));
    await spare.start();
    await spare.sql('create table mine as select 1 as one');
    const context = await restoreContext(archived.machine, spare, archived.repository);
    const { kept } = await plannedRestore(context, { target: { to: 'backup' }, tablespaceMap: mapped() });
    expect(kept.plan.directories.wal).toBe(wal);

    await runRestore(context, kept, backup);
    expect(await readlink(join(data, 'pg_wal'))).toBe(wal);
    expect(await spare.sql('select count(*) from there')).toBe('5000');
    await expect(runRestore(context, kept, backup)).rejects.toThrow(/still holds what was here before/);

    expect(await abandonRestore(context)).toEqual({ planId: kept.id, running: true });
    expect(await spare.sql('select one from mine')).toBe('1');
    await expect(abandonRestore(context)).rejects.toThrow(/abandoned already/);
    expect((await readdir(wal)).filter((name) => name.startsWith('pgsql_tmp'))).toEqual([]);

    await runRestore(context, kept, backup);
    expect((await removeOld(context)).map(({ path }) => path)).toEqual([
      join(data, asideName(kept.id)),
      join(wal, asideName(kept.id)),
    ]);
    await expect(abandonRestore(context)).rejects.toThrow(/not there any more/);
    expect(await spare.sql('select count(*) from here')).toBe('5000');
  });

  test('waits for a destination that goes away twice', async () => {
    const notes: string[] = [];
    const context = await restoreContext(archived.machine, spare, archived.repository, {
      progress: ({ phase, note }) => notes.push(`${phase}: ${note ?? ''}`),
    });
    const { kept } = await plannedRestore(context, { target: { to: 'end' }, tablespaceMap: mapped() });
    const away = `${archived.machine.destination}.away`;
    let times = 0;
    const watched = {
      ...context,
      progress: (told: Parameters<typeof context.progress>[0]) => {
        context.progress(told);
        if (told.phase === 'replaying WAL' && times === 0) {
          times = 1;
          renameSync(archived.machine.destination, away);
        }
        if (told.phase === 'waiting for the destination' && existsSync(away)) {
          renameSync(away, archived.machine.destination);
          times += 1;
          // Away again as soon as the server has been started anew; then back for good.
          if (times === 2) {
            setTimeout(() => renameSync(archived.machine.destination, away), 300);
          }
        }
      },
    };

    await runRestore(watched, kept, backup);

    expect(notes.filter((note) => note.startsWith('waiting for the destination')).length).toBeGreaterThanOrEqual(2);
    expect(await contents(spare)).toEqual(end);
  });

  test('fails at a damaged part with the old contents safe, and goes on when it is mended', async () => {
    await spare.start();
    await spare.sql('create table mine as select 1 as one');
    const context = await restoreContext(archived.machine, spare, archived.repository);
    const { kept } = await plannedRestore(context, { target: { to: 'end' }, tablespaceMap: mapped() });
    const part = join(
      archived.machine.destination,
      layout.backup(archived.place, backup.id),
      backup.archives.at(-1)?.parts[0]?.name ?? '',
    );
    const bytes = await readFile(part);
    const damaged = Buffer.from(bytes);
    damaged[bytes.length - 3000] = (damaged[bytes.length - 3000] ?? 0) ^ 1;
    await replace(part, damaged);

    await expect(runRestore(context, kept, backup)).rejects.toMatchObject({ kind: 'damaged' });
    expect(existsSync(join(spare.cluster.dataDirectory, 'global', 'pg_control'))).toBe(false);
    await expect(spare.start()).rejects.toThrow(/disabled/);
    await replace(part, bytes);
    await runRestore(context, kept, backup);

    expect(await contents(spare)).toEqual(end);
  });

  test('touches nothing while a stranger has a server running in the directory', async () => {
    await spare.start();
    const context = await restoreContext(archived.machine, spare, archived.repository);
    const { kept } = await plannedRestore(context, { target: { to: 'end' }, tablespaceMap: mapped() });
    const stubborn = { ...context, control: { ...context.control, stop: async () => undefined } };

    await expect(runRestore(stubborn, kept, backup)).rejects.toMatchObject({ kind: 'busy' });

    expect(await spare.sql('select 1')).toBe('1');
    expect(await abandonRestore(context)).toEqual({ planId: kept.id, running: true });
  });

  test('says what PostgreSQL said when recovery can not pass, and can be abandoned', async () => {
    const context = await restoreContext(archived.machine, spare, archived.repository);
    const { kept } = await plannedRestore(context, { target: { to: 'end' }, tablespaceMap: mapped() });
    const plan = {
      ...kept.plan,
      settings: { ...kept.plan.settings, carried: { shared_preload_libraries: 'not_here' } },
    };
    const other = await keepPlan(context.unit, plan, new Date());

    await expect(runRestore(context, other, backup)).rejects.toThrow(/could not access file "not_here"/);
    expect(await abandonRestore(context)).toEqual({ planId: other.id, running: false });
    await spare.start();
  });
});

describe('a restore in place', () => {
  test('archives what was not archived, ends as the next incarnation of the same owner, and archives on', async () => {
    const { server, unit, repository, place, machine } = archived;
    await server.sql(`insert into here values (9100, 'after the disaster')`);
    const context = await restoreContext(machine, server, repository);
    const request = { target: { to: 'time', time: goodTime, exclusive: false }, inPlace: true } as const;
    const { kept } = await plannedRestore(context, request);
    expect(kept.plan.claims).toBe(2);

    const restored = await runRestore(context, kept, backup);

    expect(restored).toMatchObject({ incarnation: 2, notes: [] });
    expect(await contents(server)).toEqual(good);
    expect(await readOwnerState(unit)).toEqual({ ownerId: archived.ownerId, ...place, incarnation: 2 });
    const segment = await server.sql('select pg_walfile_name(pg_switch_wal())');
    await storedUpTo(segment, { ...place, incarnation: 2 });
    const owned: string[] = [];
    for await (const name of listWal(repository, { ...place, incarnation: 2 })) owned.push(name);
    expect(owned).toContain('00000002.history');
    const child = await restoreContext(machine, spare, repository);
    const again = await plannedRestore(child, { target: { to: 'end' }, tablespaceMap: mapped() });
    expect(again.kept.plan.backup.incarnation).toBe(1);
    await runRestore(child, again.kept, again.backup);
    expect(await contents(spare)).toEqual(good);
  });
});
