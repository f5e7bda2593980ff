import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { clusterFactsSchema, type ClusterFacts } from '../../src/core/cluster-facts.ts';
import { runsFromSnap } from '../../src/postgres/snap.ts';
import { takeLock } from '../../src/system/lock.ts';
import { writeUnitIdentity, type UnitIdentity } from '../../src/system/unit-identity.ts';
import { runCommand, runForJson, writeSettings } from '../setup/command.ts';
import { asOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

let machine: Machine;
let primary: TestCluster;
let standby: TestCluster;
let standbyHome = '';

beforeAll(async () => {
  machine = await makeMachine();
  primary = await machine.createCluster('primary', {
    settings: { archive_mode: 'on', wal_level: 'replica', archive_timeout: '60' },
  });
  standbyHome = join(machine.root, 'standby-home');
  await mkdir(standbyHome, { mode: 0o755 });
  await primary.start();
  await writeSettings(machine, machine.home, { clusters: '[15/primary]' });
  await writeSettings(machine, standbyHome, { clusters: '[15/standby]' });
});

afterAll(async () => {
  await machine.destroy();
});

const ask = async (home = machine.home): Promise<ClusterFacts> =>
  (await runForJson(machine, z.object({ facts: clusterFactsSchema }), ['facts'], home)).facts;

const identity: UnitIdentity = {
  format: 1,
  model: { uuid: '8cb6cd5d-73bb-4a2e-8a1e-6bd4b2cf1d0a', name: 'm' },
  application: 'landscape-backup',
  unit: 'landscape-backup/0',
  principal: 'postgresql/0',
  roles: ['postgresql'],
  charmDirectory: '/var/lib/juju/agents/unit-landscape-backup-0/charm',
  jujuVersion: '3.6.27',
};

describe.runIf(process.getuid?.() === 0)('as root', () => {
  test('before init the cluster is known, and what is in the way is that there is no repository', async () => {
    expect(await ask()).toMatchObject({
      kind: 'debian',
      cluster: { label: '15/primary', major: '15', running: true, inRecovery: false },
      problem: { kind: 'missing' },
      pin: null,
      owner: null,
      standing: null,
      restore: null,
    });
    expect(await readdir(machine.destination)).toEqual([]);
  });

  test('after init and a backup a unit is an owner, and its status is that of `status`', async () => {
    await writeUnitIdentity(machine.home, identity);
    expect(await runCommand(machine, ['init'])).toMatchObject({ exitCode: 0 });
    expect(await runCommand(machine, ['backup'])).toMatchObject({ exitCode: 0 });
    const facts = await ask();
    expect(facts).toMatchObject({
      problem: null,
      pin: { url: `file://${machine.destination}` },
      owner: { incarnation: 1 },
      standing: { is: 'owner', incarnation: 1 },
      health: { level: 'ok', text: expect.stringContaining('can restore to') },
    });
    expect(facts.owner?.systemIdentifier).toBe(facts.cluster?.systemIdentifier);
  });

  test('in the repository a unit has the names that Juju gave it', async () => {
    const model = join(machine.destination, 'files', identity.model.uuid);
    expect(await readdir(model)).toEqual(['landscape-backup']);
    expect(await readdir(join(model, 'landscape-backup'))).toEqual(['landscape-backup_2f_0']);
  });

  test('configure alone says how archiving is', async () => {
    const schema = z.object({ configured: z.looseObject({ standing: z.string(), archiving: z.string() }) });
    expect(await runForJson(machine, schema, ['configure'])).toMatchObject({
      configured: { standing: 'owner', incarnation: 1, archiving: 'on', waiting: [], restarted: false },
    });
  });

  test('a standby adopts the owner that it follows, and goes on as it when it is promoted', async () => {
    standby = await machine.createCluster('standby');
    const { dataDirectory, socketDirectory } = standby.cluster;
    await rm(dataDirectory, { recursive: true });
    const from = ['-h', socketDirectory, '-p', String(primary.cluster.port)];
    await asOwner('pg_basebackup', [...from, '-D', dataDirectory, '-R', '-X', 'stream', '-c', 'fast']);
    await standby.start();
    const { owner } = await ask();
    if (owner === null) throw new Error('the primary owns nothing');
    const adopt = async (home: string, changes: Partial<typeof owner> = {}) => {
      const is = { ...owner, ...changes };
      const said = ['--owner-id', is.ownerId, '--system-identifier', is.systemIdentifier];
      return await runCommand(machine, ['adopt-owner', ...said, '--incarnation', String(is.incarnation)], home);
    };
    await runCommand(machine, ['init', '--join'], standbyHome);
    expect(await ask(standbyHome)).toMatchObject({
      cluster: { inRecovery: true },
      owner: null,
      standing: { is: 'copy' },
    });

    expect(await adopt(standbyHome, { systemIdentifier: '7000000000000000001' })).toMatchObject({ exitCode: 4 });
    expect(await adopt(standbyHome)).toMatchObject({ exitCode: 0 });
    expect(await adopt(standbyHome)).toMatchObject({ exitCode: 0 });
    expect(await adopt(standbyHome, { ownerId: 'f'.repeat(32) })).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining(`this unit is the owner ${owner.ownerId} already`),
    });
    await primary.stop();
    await asOwner('pg_ctlcluster', ['15', 'standby', 'promote']);
    expect(await ask(standbyHome)).toMatchObject({ owner, standing: { is: 'owner', incarnation: 1 } });
    await primary.start();
  });

  test('a cluster that follows nobody is no standby: it adopts nothing', async () => {
    const { owner } = await ask();
    const other = join(machine.root, 'other-home');
    await mkdir(other, { mode: 0o755 });
    await writeSettings(machine, other, { clusters: '[15/primary]' });
    const said = ['--owner-id', owner?.ownerId ?? '', '--system-identifier', owner?.systemIdentifier ?? ''];
    expect(await runCommand(machine, ['adopt-owner', ...said, '--incarnation', '1'], other)).toMatchObject({
      exitCode: 4,
      stderr: expect.stringMatching(
        /follows no other server \(its control file says "in production"\)\n {2}next: .*take-over/,
      ),
    });
  });

  test('a destination that does not answer is told within seconds, and what is known without it is told too', async () => {
    // Whoever asked before waits for it still, as a process does that nothing can end.
    const lock = await takeLock(join(machine.home, '15-primary', 'ask.lock'), 'the question before');
    const startedAt = performance.now();
    const facts = await ask();
    await lock.release();
    expect(performance.now() - startedAt).toBeLessThan(25_000);
    expect(facts).toMatchObject({
      cluster: { running: true, inRecovery: false },
      problem: { kind: 'unavailable', hint: expect.stringContaining('Does the destination answer?') },
      pin: { url: `file://${machine.destination}` },
      owner: { incarnation: 1 },
      standing: null,
    });
  });

  test('a cluster that is down, settings that are wrong and a cluster that is missing are problems, never failures', async () => {
    await primary.stop();
    expect(await ask()).toMatchObject({ cluster: { running: false, inRecovery: null }, standing: { is: 'owner' } });
    await writeSettings(machine, machine.home, { clusters: '[15/primary]', 'retention-count': 'many' });
    expect(await ask()).toMatchObject({ cluster: null, problem: { kind: 'settings' } });
    await writeSettings(machine, machine.home, { clusters: '[15/gone]' });
    expect(await ask()).toMatchObject({
      cluster: null,
      problem: { kind: 'usage', message: 'there is no cluster 15/gone on this machine' },
    });
  });

  test('a unit without the database has no cluster and no problem', async () => {
    await writeUnitIdentity(machine.home, { ...identity, roles: ['landscape'] });
    expect(await ask()).toMatchObject({ kind: 'none', cluster: null, problem: null });
  });
});

test('PostgreSQL from the charmed snap is known by its configuration, where no Debian cluster is', async () => {
  const root = await mkdtemp(join(tmpdir(), 'lb-snap-'));
  const folder = join(root, 'var/snap/charmed-postgresql/current/etc/patroni');
  await mkdir(folder, { recursive: true });
  expect(await runsFromSnap(root)).toBe(false);
  await writeFile(join(folder, 'patroni.yaml'), '');
  expect(await runsFromSnap(root)).toBe(false);
  const found = process.env['PG_CLUSTER_CONF_ROOT'];
  process.env['PG_CLUSTER_CONF_ROOT'] = root;
  expect(await runsFromSnap(root)).toBe(true);
  process.env['PG_CLUSTER_CONF_ROOT'] = found;
  await rm(root, { recursive: true });
});
