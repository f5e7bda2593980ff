import { execa } from 'execa';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { isPending, type Job } from '../../src/core/job.ts';
import { childJobs } from '../../src/system/child-jobs.ts';
import { machineClock } from '../../src/system/clock.ts';
import { machinePaths, placesOf } from '../../src/system/machine-paths.ts';
import { installRuntime } from '../../src/system/runtime-install.ts';
import type { Jobs } from '../../src/system/jobs.ts';
import { writeUnitIdentity } from '../../src/system/unit-identity.ts';
import { asOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';
import { runCommand, writeSettings } from '../setup/command.ts';
import { until } from '../setup/wait.ts';

let machine: Machine;
let jobs: Jobs;
let server: TestCluster;

beforeAll(async () => {
  machine = await makeMachine();
  server = await machine.createCluster('main', {
    settings: { archive_mode: 'on', wal_level: 'replica', archive_timeout: '60' },
  });
  await server.start();
  await writeSettings(machine, machine.home, {});
  await runCommand(machine, ['init']);
  jobs = childJobs(machine.home, [join(machine.runtime, 'bin', 'landscape-backup')], machineClock);
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await machine.destroy();
});

async function ended(id: string): Promise<Job> {
  let job: Job | undefined;
  await until(`the job ${id} has ended`, async () => {
    job = await jobs.look(id);
    return job !== undefined && !isPending(job);
  });
  if (job === undefined) throw new Error(`nobody knows ${id}`);
  return job;
}

describe.runIf(process.getuid?.() === 0)('as root', () => {
  test('a job does a verb as the owner of the cluster, keeps what it printed, and wakes the charm', async () => {
    await mkdir(join(machine.root, 'bin'));
    const woken = join(machine.root, 'woken');
    await writeFile(join(machine.root, 'bin', 'juju-exec'), `#!/bin/sh\nset > '${woken}'\necho "$@" >> '${woken}'\n`);
    await chmod(join(machine.root, 'bin', 'juju-exec'), 0o755);
    vi.stubEnv('PATH', `${join(machine.root, 'bin')}:${process.env['PATH'] ?? ''}`);
    vi.stubEnv('JUJU_CONTEXT_ID', 'landscape-backup/0-backup-1');
    await writeUnitIdentity(machine.home, {
      format: 1,
      model: { uuid: '8cb6cd5d-73bb-4a2e-8a1e-6bd4b2cf1d0a', name: 'm' },
      application: 'landscape-backup',
      unit: 'landscape-backup/0',
      principal: 'postgresql/0',
      roles: ['postgresql'],
      charmDirectory: '/charm',
      jujuVersion: '3.6.27',
    });
    const id = await jobs.start(['backup', '--label', 'before the upgrade']);
    expect(await ended(id)).toMatchObject({
      state: 'succeeded',
      progress: { phase: expect.any(String) },
      result: { json: { backup: { label: 'before the upgrade', cluster: '15/main' } } },
    });
    await until('the charm has been woken', async () => {
      const text = await readFile(woken, 'utf8').catch(() => '');
      return text.endsWith("landscape-backup/0 JUJU_DISPATCH_PATH=hooks/job-ended '/charm/dispatch'\n");
    });
    expect(await readFile(woken, 'utf8')).not.toContain('JUJU_CONTEXT_ID');
  });

  test('a job that fails tells the kind, the words and the next step of its verb', async () => {
    const id = await jobs.start(['restore', '--to', 'name=nobody-named-it']);
    expect(await ended(id)).toMatchObject({ state: 'failed', failure: { hint: expect.any(String) } });
    const unknown = await jobs.start(['no-such-verb']);
    expect(await ended(unknown)).toMatchObject({ state: 'failed', exitCode: 2, failure: { kind: 'usage' } });
  });

  test('an installed runtime is told to PostgreSQL by the path that an upgrade leaves in place', async () => {
    const runtimes = join(machine.root, 'opt');
    const places = placesOf({ ...machinePaths, runtimes }, 'landscape-backup/0');
    await installRuntime(machine.runtime, places);
    const program = join(places.runtime, 'bin', 'landscape-backup');
    expect(await execa(program, ['configure', '--home', machine.home], { cwd: '/' })).toMatchObject({ exitCode: 0 });
    expect(await server.sql('SHOW archive_command')).toContain(`'${places.runtime}/bin/archive-wal'`);
  });

  test('nobody but root runs a verb of the machine', async () => {
    const program = join(machine.runtime, 'bin', 'landscape-backup');
    const said = await asOwner(program, ['facts', '--home', machine.home], { reject: false });
    expect(said).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining('landscape-backup facts works as root only'),
    });
  });
});
