import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Context } from '../../src/commands/context.ts';
import { runDue } from '../../src/commands/run-due.ts';
import type { Verb } from '../../src/commands/program.ts';
import { makePrivateFolder, unitFolder } from '../../src/system/home.ts';
import { fixedClock } from '../doubles/fixed-clock.ts';
import { planSchema, restoredSchema, runCommand, runForJson, writeSettings } from '../setup/command.ts';
import { jobContext } from '../setup/job-context.ts';
import { becomeOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

let machine: Machine;
let production: TestCluster;
let spare: TestCluster;
let spareHome: string;

const hourMs = 3_600_000;
/** The charm's options on the spare: production's, and as little kept as can be. */
const options = { 'retention-count': 1, 'retention-days': 0, 'backup-schedule': '0 */6 * * *' };

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  production = await machine.createCluster('production', { settings: { archive_mode: 'on' } });
  spare = await machine.createCluster('spare');
  await production.start();
  await spare.start();
  spareHome = join(machine.root, 'spare-home');
  await mkdir(spareHome, { mode: 0o755 });
  await writeSettings(machine, machine.home, {});
  await writeSettings(machine, spareHome, { 'retention-count': '1', 'retention-days': '0' });
  for (const verb of ['init', 'backup', 'backup', 'backup']) {
    const said = await runCommand(machine, [verb, '--cluster', '15/production']);
    expect(said.exitCode, said.stderr).toBe(0);
  }
  // Root makes it in the first call of the timer.
  await makePrivateFolder(unitFolder(spareHome, '15-spare').path);
  // From here on production rests, so that every change at the destination is the spare's.
  await production.stop();
});
afterAll(async () => {
  await machine.destroy();
});

/** Every object of production's line with the digest of its bytes, but for what guests may leave. */
async function objects(): Promise<Readonly<Record<string, string>>> {
  const below = await readdir(machine.destination, { recursive: true, withFileTypes: true });
  const files = below.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const named = files.map((path) => [relative(machine.destination, path), path] as const);
  const kept = named.filter(([key]) => !key.includes('/guests/')).sort(([a], [b]) => (a < b ? -1 : 1));
  const digests = kept.map(
    async ([key, path]) =>
      [
        key,
        createHash('sha256')
          .update(await readFile(path))
          .digest('hex'),
      ] as const,
  );
  return Object.fromEntries(await Promise.all(digests));
}

/** A month of the spare's timer, four times a day, with a clock that goes as fast. */
async function month(isRunning: boolean): Promise<readonly string[]> {
  const clock = fixedClock(new Date());
  const base = await jobContext(machine, spare, options);
  const context: Context = {
    ...base,
    home: spareHome,
    unit: unitFolder(spareHome, base.cluster.unit),
    clock,
    site: undefined,
    signal: new AbortController().signal,
    progress: () => undefined,
  };
  expect(context.cluster.running).toBe(isRunning);
  const did = new Set<string>();
  const verb: Verb = runDue;
  if (verb.as === 'root') throw new Error('run-due is the owner’s');
  for (let turn = 0; turn < 31 * 4; turn += 1) {
    clock.move(6 * hourMs);
    const { text } = await verb.run(context, {}, []);
    for (const line of text.split('\n')) did.add(line);
  }
  return [...did];
}

test('a spare with the same destination and retention-count=1 leaves every byte of production for a month', async () => {
  const before = await objects();
  expect(Object.keys(before).filter((key) => key.endsWith('backup.json'))).toHaveLength(3);

  expect(await month(true), 'before a restore').toEqual(['reconcile: done']);

  const plan = await runForJson(machine, planSchema, ['restore', '--cluster', '15/spare'], spareHome);
  const confirm = ['restore', '--cluster', '15/spare', `--confirm=${plan.plan.id}`];
  await runForJson(machine, restoredSchema, confirm, spareHome);
  expect(await month(true), 'as a copy').toEqual(['reconcile: done']);

  const list = await runCommand(machine, ['list-backups', '--cluster', '15/spare'], spareHome);
  expect(list.exitCode, list.stderr).toBe(0);
  const prune = await runCommand(machine, ['prune', '--cluster', '15/spare'], spareHome);
  expect(prune.exitCode).toBe(4);
  expect(await objects()).toEqual(before);
}, 300_000);
