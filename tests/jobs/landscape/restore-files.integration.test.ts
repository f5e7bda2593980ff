import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { isSharedFolder } from '../../../src/repository/layout.ts';
import { createRepository } from '../../../src/repository/repository.ts';
import { openDirectory } from '../../../src/storage/directory.ts';
import { isRoot } from '../../setup/landscape-unit.ts';
import type { LandscapeProfile } from '../../site/landscape-files.ts';
import { landscapeActions, landscapeHooks, makeLandscapeHost, type LandscapeHost } from '../../site/landscape-host.ts';
import { makeSiteMachine } from '../../site/machine.ts';

const hosts: LandscapeHost[] = [];
let destination: string;

beforeEach(async () => {
  destination = await mkdtemp(join(tmpdir(), 'lb-site-files-'));
  const storage = await openDirectory(destination, { url: 'file:///srv/backup', isShared: isSharedFolder });
  await createRepository(storage, new Date());
});

afterEach(async () => {
  for (const { machine } of hosts.splice(0)) await machine.destroy();
  await rm(destination, { recursive: true });
});

const home = '/var/lib/landscape-backup';

async function make(site: string, profile: LandscapeProfile, uid: number): Promise<LandscapeHost> {
  const machine = await makeSiteMachine({ name: site, shared: { '/srv/backup': destination } });
  const host = await makeLandscapeHost(machine, { site, profile, uid });
  hosts.push(host);
  await machine.copyIn(process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] ?? '', '/opt/landscape-backup');
  await machine.write(`${home}/settings.yaml`, 'destination: /srv/backup\n');
  await machine.write('/etc/machine-id', `${Buffer.from(site.padEnd(16)).toString('hex').slice(0, 32)}\n`);
  return host;
}

async function command({ machine }: LandscapeHost, ...args: string[]) {
  const { exitCode, stdout, stderr } = await machine.execute(
    ['/opt/landscape-backup/bin/landscape-backup', ...args, '--home', home, '--format', 'json'],
    { timeoutMs: 300_000 },
  );
  return { exitCode, json: z.record(z.string(), z.unknown()).parse(JSON.parse(stdout)), said: stdout + stderr };
}

const planSchema = z.object({ planId: z.string() });
const listSchema = z.array(z.object({ model: z.string(), unit: z.string() }));

async function planned(production: LandscapeHost, spare: LandscapeHost): Promise<string> {
  const kept = await command(production, 'backup-files', '--join');
  expect(kept.exitCode, kept.said).toBe(0);
  const { stdout } = await spare.machine.execute([
    '/opt/landscape-backup/bin/landscape-backup',
    'list-files',
    '--home',
    home,
    '--format',
    'json',
  ]);
  const [from] = z.object({ units: listSchema }).parse(JSON.parse(stdout)).units;
  const made = await command(spare, 'restore-files', '--from', `${from?.model ?? ''}/${from?.unit ?? ''}`);
  expect(made.exitCode, made.said).toBe(0);
  return planSchema.parse(made.json['plan']).planId;
}

describe.skipIf(!isRoot)('the command on machines of their own', () => {
  test('brings a quickstart unit’s files to a spare, and never connects it to production', async () => {
    const production = await make('production', 'quickstart', 777);
    const spare = await make('spare', 'quickstart', 888);
    const plan = await planned(production, spare);
    const before = await spare.connections();
    const done = await command(spare, 'restore-files', `--confirm=${plan}`);

    expect(done.exitCode, done.said).toBe(0);
    const stat = async (path: string) => await spare.machine.run(['stat', '-c', '%U:%G %a', path]);
    expect(await stat('/var/lib/landscape-server/gnupg')).toBe('landscape:landscape 700');
    expect(await spare.machine.read('/etc/ssl/private/landscape_server.key')).toBe('key of production\n');
    expect(await spare.machine.read('/etc/landscape/service.conf')).toContain('secret token of production');
    expect(await spare.running()).toEqual(await production.running());
    const since = (await spare.connections()).slice(before.length);
    expect(since.length).toBeGreaterThan(0);
    expect(since.join('\n')).not.toContain('production');
    expect(done.said).not.toMatch(/secret token|database password|phrase of|secret keys/);

    const undone = await command(spare, 'abandon-files', '--plan', plan);
    expect(undone.exitCode, undone.said).toBe(0);
    expect(await spare.machine.read('/etc/ssl/private/landscape_server.key')).toBe('key of spare\n');
    expect(await spare.running()).toEqual(await production.running());
  });

  test('holds a charmed unit’s fence against its hooks and a power cut', async () => {
    const production = await make('production', 'charmed', 777);
    const spare = await make('spare', 'charmed', 888);
    const plan = await planned(production, spare);
    const refused = await command(spare, 'quiesce', '--plan', plan);
    expect(refused.exitCode).toBe(4);
    await landscapeActions.pause(spare.machine);
    for (const stage of ['landscape-check', 'quiesce', 'restore-files']) {
      const done = await command(spare, stage, '--plan', plan);
      expect(done.exitCode, done.said).toBe(0);
    }
    await landscapeHooks['leader-elected'](spare.machine);
    await spare.machine.run(['systemctl', 'start', 'landscape-package-search.service']);
    expect(await spare.running()).toEqual([]);
    await spare.machine.powerCut();
    await spare.machine.boot();
    expect(await spare.running()).toEqual([]);
    const facts = (await command(spare, 'landscape-facts')).json;
    expect(facts['landscape']).toMatchObject({ fencedFor: plan });
    expect(facts['published']).toMatchObject({ fenced: true, running: false, profile: 'charmed' });

    for (const stage of ['restore-files', 'verify-files', 'resume']) {
      const done = await command(spare, stage, '--plan', plan);
      expect(done.exitCode, done.said).toBe(0);
    }
    expect(await spare.running()).toEqual([]);
    await landscapeActions.resume(spare.machine);
    expect((await spare.running()).length).toBeGreaterThan(5);
    expect((await command(spare, 'unfence')).json['unfenced']).toEqual({ planId: null });
    expect((await command(spare, 'run-due-files')).json['done']).toEqual([]);
    expect((await command(production, 'run-due-files')).said).not.toContain('error');
    expect((await spare.connections()).join('\n')).not.toContain('production');
  });
});
