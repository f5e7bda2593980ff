import { execa } from 'execa';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { takeBackup } from '../../src/jobs/backup.ts';
import { check } from '../../src/jobs/check.ts';
import { askServer } from '../../src/jobs/prune-plan.ts';
import { runRestore } from '../../src/jobs/restore/run-restore.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { changeRules, legacyRules } from '../setup/hba.ts';
import { jobContext } from '../setup/job-context.ts';
import { asOwner, becomeOwner } from '../setup/machine.ts';
import { proveBackup } from '../setup/prove-backup.ts';
import { plannedRestore, restoreContext } from '../setup/restore-context.ts';

let archived: ArchivedCluster;
const quick = { probeMs: 2_000, walMs: 4_000 };

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster({ segmentMiB: 4 });
  const { server, cluster, machine } = archived;
  await changeRules(server, cluster, legacyRules);
  for (const name of ['one', 'two']) {
    await mkdir(join(machine.root, 'data', name), { mode: 0o700 });
    await server.sql(`CREATE TABLESPACE ${name} LOCATION '${join(machine.root, 'data', name)}'`);
  }
  await server.sql('CREATE DATABASE bench TABLESPACE one');
});

afterAll(async () => {
  await archived.machine.destroy();
});

async function numberOfBackups(): Promise<number> {
  const { incarnations } = await readCatalogue(archived.repository, archived.place.systemIdentifier);
  return incarnations.flatMap(({ backups }) => backups).length;
}

/** What must be the same on both sides: every row of every table that is logged. */
const everyRow = `SELECT string_agg(c, ' ') FROM (
  SELECT count(*) || md5(string_agg(a::text, ',' ORDER BY a::text)) AS c FROM pgbench_accounts a UNION ALL
  SELECT count(*) || md5(string_agg(b::text, ',' ORDER BY b::text)) FROM pgbench_branches b UNION ALL
  SELECT count(*) || md5(string_agg(h::text, ',' ORDER BY h::text)) FROM pgbench_history h UNION ALL
  SELECT count(*) || md5(string_agg(k::text, ',' ORDER BY k::text)) FROM kept k) all_of_them`;

describe('where pg_hba.conf refuses replication', () => {
  test('a backup of a cluster that is written to is whole, and comes back on a spare with every row', async () => {
    const { server, cluster, machine, repository } = archived;
    const connection = ['-h', cluster.socketDirectory, '-p', String(cluster.port), 'bench'];
    await execa('pgbench', ['-i', '-q', '-s', '5', '--index-tablespace=two', ...connection]);
    await server.sql(
      `CREATE TABLE kept AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n;
       CREATE UNLOGGED TABLE passing TABLESPACE two AS SELECT n FROM generate_series(1, 1000) n`,
      'bench',
    );
    const script = `CREATE TEMP TABLE x AS SELECT n FROM generate_series(1, 2000) n; DROP TABLE x;
      CREATE UNLOGGED TABLE IF NOT EXISTS y_:client_id AS SELECT n FROM generate_series(1, 500) n; DROP TABLE y_:client_id;
      CREATE TABLE z_:client_id TABLESPACE two AS SELECT n FROM generate_series(1, 500) n; VACUUM FULL z_:client_id; DROP TABLE z_:client_id;`;
    const scriptFile = join(machine.root, 'data', 'flow.sql');
    await writeFile(scriptFile, script);
    const flow = execa('pgbench', ['-n', '-T', '6', '-c', '2', '-f', scriptFile, ...connection]);
    const writing = execa('pgbench', ['-T', '6', '-c', '2', ...connection]);

    const backup = await takeBackup(backupContext(archived), { trigger: 'person' });

    await Promise.all([writing, flow]);
    expect(backup).toMatchObject({ compression: { where: 'client' }, badPages: false });
    expect(backup.archives.map(({ oid }) => oid === null)).toEqual([false, false, true]);
    await proveBackup(archived, backup);
    const before = await server.sql(everyRow, 'bench');
    const segment = await server.sql('SELECT pg_walfile_name(pg_switch_wal())');
    await expect
      .poll(async () => await server.sql('SELECT last_archived_wal FROM pg_stat_archiver'), { timeout: 30_000 })
      .toBe(segment);

    const spare = await machine.createCluster('spare', { segmentMiB: 4 });
    const context = await restoreContext(machine, spare, repository);
    const names = ['one', 'two'].map((name) => join(machine.root, 'data', name));
    const tablespaceMap = Object.fromEntries(names.map((path) => [path, `${path}-of-spare`]));
    const planned = await plannedRestore(context, { target: { to: 'end' }, tablespaceMap });
    await runRestore(context, planned.kept, planned.backup);

    expect(await spare.sql(everyRow, 'bench')).toBe(before);
    expect(await spare.sql('SELECT count(*) FROM passing', 'bench')).toBe('0');
    const restored = await spare.look();
    const where = ['-h', restored.socketDirectory, '-p', String(restored.port)];
    await spare.sql('CREATE EXTENSION amcheck', 'bench');
    await asOwner(join(restored.binaries, 'pg_amcheck'), [...where, '--heapallindexed', 'bench']);
    await spare.stop();
  });

  test('a backup without archiving carries its own WAL', async () => {
    const backup = await takeBackup(backupContext(archived, { 'wal-archiving': false }), { trigger: 'person' });

    await proveBackup(archived, backup);
    expect(backup).toMatchObject({ withWal: true, compression: { where: 'client' } });
  });

  test('a backup of a cluster with a bad page is kept and says so', async () => {
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
  });

  test('check says which way backups go and what the server said', async () => {
    const context = await jobContext(archived.machine, archived.server);
    const report = await check(context, { signal: new AbortController().signal, stallMs: 5_000 });

    expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(report.checks.find(({ name }) => name === 'replication')?.what).toMatch(
      /^base backups are read from the cluster's files .* replication is refused \(.*no pg_hba\.conf entry.*\), timeline 1$/,
    );
  });

  test('a prune asks the server all the same', async () => {
    expect(await askServer(archived.cluster)).toMatchObject({ timeline: 1 });
  });

  test('a backup whose connection is lost in the middle fails and leaves nothing', async () => {
    const before = await numberOfBackups();
    let happening: Promise<unknown> | undefined;
    const context = backupContext(archived);
    const progress: typeof context.progress = ({ phase, bytes }) => {
      if (phase !== 'copying the cluster' || bytes === undefined) return;
      happening ??= archived.server.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'landscape-backup'`,
      );
    };

    await expect(takeBackup({ ...context, progress }, { trigger: 'person' })).rejects.toMatchObject({
      kind: 'postgres',
      message: expect.stringContaining('has given the backup up'),
    });
    await happening;
    expect(await numberOfBackups()).toBe(before);
  });
});

describe('any other fault of a replication connection fails, and is told', () => {
  test.each([
    ['a rule that wants a password', `local replication all scram-sha-256\n${legacyRules}`],
    ['a rule that maps users otherwise', `local replication all peer map=nobody\n${legacyRules}`],
  ])('%s', async (_what, rules) => {
    const restore = await changeRules(archived.server, archived.cluster, rules);
    const before = await numberOfBackups();

    await expect(takeBackup(backupContext(archived), { trigger: 'person', patience: quick })).rejects.toMatchObject({
      kind: 'postgres',
    });

    await restore();
    expect(await numberOfBackups()).toBe(before);
  });

  test('a rule that rejects it is the refusal that the other way is for', async () => {
    const rules = `local replication all reject\n${legacyRules}`;
    const restore = await changeRules(archived.server, archived.cluster, rules);
    const backup = await takeBackup(backupContext(archived), { trigger: 'person' });
    await restore();

    expect(backup.compression.where).toBe('client');
  });

  test('no sender that is free', async () => {
    const { server, cluster } = archived;
    const restore = await changeRules(server, cluster, `local replication all peer\n${legacyRules}`);
    await server.sql(`ALTER SYSTEM SET max_wal_senders = 0`);
    await server.stop();
    await server.start();

    await expect(takeBackup(backupContext(archived), { trigger: 'person' })).rejects.toMatchObject({
      kind: 'postgres',
      hint: expect.stringContaining('max_wal_senders'),
    });

    await server.sql('ALTER SYSTEM RESET max_wal_senders');
    await server.stop();
    await server.start();
    await restore();
  });
});
