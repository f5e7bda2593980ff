import { execa } from 'execa';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Backup } from '../../src/core/backup.ts';
import { knownLength } from '../../src/archiver/stream-folder.ts';
import { takeBackup } from '../../src/jobs/backup.ts';
import { ownScope } from '../../src/jobs/rewrap-plan.ts';
import { planRewrap, runRewrap } from '../../src/jobs/rewrap.ts';
import { layout } from '../../src/repository/layout.ts';
import { openRepository } from '../../src/repository/repository.ts';
import { storeBeginning } from '../repository/copy-site.ts';
import { listWal } from '../../src/repository/wal-store.ts';
import { encryptionFor, encryptionOptions, newAgeKey, type AgeKey } from '../setup/age.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner, type TestCluster } from '../setup/machine.ts';

let archived: ArchivedCluster;
/** What the reader opens an encrypted repository with. */
let opening: Readonly<Record<string, string>> = {};

beforeAll(() => {
  becomeOwner();
});

afterEach(async () => {
  opening = {};
  await archived.machine.destroy();
});

async function makeArchived(key: AgeKey | undefined): Promise<void> {
  archived = await makeArchivedCluster(key === undefined ? {} : { encryption: encryptionOptions([key]) });
  if (key !== undefined) {
    const path = join(archived.machine.root, 'kept-elsewhere.txt');
    await writeFile(path, key.file, { mode: 0o600 });
    opening = { OPEN: `'age -d -i ${path}'` };
  }
  const place = join(archived.machine.root, 'data', 'space');
  await mkdir(place, { mode: 0o700 });
  await archived.server.sql(`CREATE TABLESPACE space LOCATION '${place}'`);
  await archived.server.sql(`
    CREATE TABLE here AS SELECT n, md5(n::text) AS t FROM generate_series(1, 5000) n;
    CREATE TABLE there TABLESPACE space AS SELECT n, md5(n::text) AS t FROM generate_series(1, 5000) n;`);
}

/** The commands of each step, as they stand in the text that lies in the repository. */
async function readSteps(): Promise<ReadonlyMap<number, readonly string[]>> {
  const text = await readFile(join(archived.machine.destination, layout.readme), 'utf8');
  const steps = new Map<number, string[]>();
  let step = 0;
  for (const line of text.slice(text.indexOf('RESTORE BY HAND')).split('\n')) {
    step = Number(/^(\d+)\. /.exec(line)?.[1] ?? step);
    if (line.startsWith('    ')) steps.set(step, [...(steps.get(step) ?? []), line.trim()]);
  }
  return steps;
}

/** A step's commands with the reader's values in its assignments; a value for a name that is not asked for is a mistake. */
function fill(commands: readonly string[] | undefined, values: Readonly<Record<string, string>>): readonly string[] {
  const left = new Set(Object.keys(values));
  const lines = (commands ?? []).map((line) => {
    const name = /^([A-Z]+)=/.exec(line)?.[1];
    const value = name === undefined ? undefined : values[name];
    if (name === undefined || value === undefined) return line;
    left.delete(name);
    return `${name}=${value}`;
  });
  expect([...left]).toEqual([]);
  return lines;
}

/** Follows the text for one backup into a new cluster, with nothing of ours, and starts it. */
async function restoreByHand(backup: Backup, name: string, target: { time?: string } = {}): Promise<TestCluster> {
  const { machine, place } = archived;
  const spare = await machine.createCluster(name);
  const data = spare.cluster.dataDirectory;
  await rm(data, { recursive: true });
  await mkdir(data, { mode: 0o700 });
  const wal = join(machine.root, 'data', `${name}-wal`);
  await mkdir(wal);
  const steps = await readSteps();
  const line = join(machine.destination, layout.incarnation(place)).replace(/\/$/, '');
  const spaces = backup.archives.flatMap(({ oid }) =>
    oid === null ? [] : fill(steps.get(3), { OID: String(oid), PLACE: join(machine.root, 'data', `${name}-${oid}`) }),
  );
  const script = [
    ...fill(steps.get(1), {
      REPO: machine.destination,
      LINE: line,
      BACKUP: `$LINE/base/${backup.id}`,
      DATA: data,
      WAL: wal,
      ...opening,
    }),
    ...fill(steps.get(2), {}),
    ...spaces,
    ...fill(steps.get(4), {}),
    ...(backup.withWal ? [] : fill(steps.get(5), {})),
    ...fill(steps.get(6), {}),
    ...(target.time === undefined ? [] : fill(steps.get(7), { TIME: `'${target.time}'` })),
    ...(backup.withWal ? fill(steps.get(8), {}) : []),
  ];
  const { stdout } = await execa('sh', ['-e', '-c', script.join('\n')], {
    env: { PATH: '/usr/bin:/bin' },
    extendEnv: false,
  });
  expect(stdout).toBe(backup.withWal ? '' : 'complete');
  await spare.start();
  await expect
    .poll(async () => await readFile(spare.cluster.logFile, 'utf8'), { timeout: 30_000 })
    .toContain('archive recovery complete');
  return spare;
}

const rows = "SELECT count(*), md5(string_agg(n || t, ',' ORDER BY n)) FROM";

async function contents(server: TestCluster): Promise<readonly string[]> {
  return [await server.sql(`${rows} here`), await server.sql(`${rows} there`)];
}

async function storedUpTo(segment: string): Promise<void> {
  const names = async () => {
    const found: string[] = [];
    for await (const name of listWal(archived.repository, archived.place)) found.push(name);
    return found;
  };
  await expect.poll(names, { timeout: 30_000, interval: 200 }).toContain(segment);
}

/** Stores what is known of a segment that is not finished, and a shorter beginning of it. */
async function storeBeginnings(segment: string): Promise<void> {
  const { repository, place, cluster } = archived;
  const path = join(cluster.dataDirectory, 'pg_wal', segment);
  const length = await knownLength(path, 1024 * 1024);
  for (const each of [8192, length]) {
    await storeBeginning(repository, place, segment, (await readFile(path)).subarray(0, each));
  }
}

describe.each([
  ['cat, zstd, tar, psql', undefined],
  ['cat, age, zstd, tar, psql', newAgeKey()],
])('by hand, with %s and the README in the repository', (_tools, key) => {
  test('a cluster comes back to the second before the disaster, and to the end', async () => {
    await makeArchived(key);
    const backup = await takeBackup(backupContext(archived), { trigger: 'person' });
    const { server } = archived;
    await server.sql("INSERT INTO here VALUES (9001, 'later'); INSERT INTO there VALUES (9001, 'later')");
    const good = await contents(server);
    const time = await server.sql('SELECT pg_sleep(0.1); SELECT clock_timestamp(); SELECT pg_sleep(0.1)');
    await server.sql('DELETE FROM here; DELETE FROM there WHERE n < 100');
    const last = await server.sql('SELECT pg_walfile_name(pg_switch_wal())');
    await storedUpTo(last);
    await server.sql("INSERT INTO here VALUES (9002, 'streamed')");
    await storeBeginnings(await server.sql('SELECT pg_walfile_name(pg_current_wal_lsn())'));
    const bad = await contents(server);

    const before = await restoreByHand(backup, 'before', { time: time.trim() });
    const end = await restoreByHand(backup, 'end');

    expect(await contents(before)).toEqual(good);
    expect(await contents(end)).toEqual(bad);
    expect(await before.sql('SHOW archive_mode')).toBe('off');
    expect(await before.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'space'")).toContain(
      'before-',
    );
    await before.stop();
    await end.stop();
  });

  test('a backup with its own WAL comes back to its own end', async () => {
    await makeArchived(key);
    const expected = await contents(archived.server);
    const backup = await takeBackup(backupContext(archived, { 'wal-archiving': false }), { trigger: 'person' });
    await archived.server.sql("INSERT INTO here VALUES (9002, 'after the backup')");

    const spare = await restoreByHand(backup, 'own');

    expect(await contents(spare)).toEqual(expected);
    await spare.stop();
  });
});

test('by hand, a backup and WAL that were encrypted anew come back with the new identity and the same text', async () => {
  const [former, latter] = [newAgeKey(), newAgeKey()];
  await makeArchived(former);
  const backup = await takeBackup(backupContext(archived), { trigger: 'person' });
  await archived.server.sql("INSERT INTO here VALUES (9001, 'later'); INSERT INTO there VALUES (9001, 'later')");
  await storedUpTo(await archived.server.sql('SELECT pg_walfile_name(pg_switch_wal())'));
  await archived.server.sql("INSERT INTO here VALUES (9002, 'streamed')");
  await storeBeginnings(await archived.server.sql('SELECT pg_walfile_name(pg_current_wal_lsn())'));
  const good = await contents(archived.server);

  const storage = archived.repository.storage;
  const changing = await openRepository(storage, undefined, encryptionFor([latter], [former]));
  const context = { ...backupContext(archived), repository: changing, progress: () => undefined };
  const scope = await ownScope(archived.unit, changing, context.identity);
  const { id } = await planRewrap(context, scope);
  expect(await runRewrap(context, scope, id)).toMatchObject({ rewrapped: { left: 0 } });
  await writeFile(join(archived.machine.root, 'kept-elsewhere.txt'), latter.file, { mode: 0o600 });

  const spare = await restoreByHand(backup, 'anew');
  expect(await contents(spare)).toEqual(good);
  await spare.stop();
});
