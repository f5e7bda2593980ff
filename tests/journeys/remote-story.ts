import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { writeCredentials } from '../../src/system/home.ts';
import { planSchema, restoredSchema, runCommand, writeSettings, type Said } from '../setup/command.ts';
import { makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

/** A production cluster and a spare whose repository lies somewhere on the network; the installed command does everything. */
export interface RemoteStory {
  readonly machine: Machine;
  readonly production: TestCluster;
  readonly spare: TestCluster;
  readonly spareHome: string;
  /** Everything that the command ever said. */
  readonly said: string[];
  /** Runs a verb for the production cluster. */
  run(...args: readonly string[]): Promise<Said>;
  /** Writes the settings of both homes, secrets where they belong. */
  configure(settings: Readonly<Record<string, string>>, secrets: Readonly<Record<string, string>>): Promise<void>;
}

/** Makes both clusters, started. */
export async function makeRemoteStory(): Promise<RemoteStory> {
  const machine = await makeMachine();
  const production = await machine.createCluster('production', { settings: { archive_mode: 'on' } });
  const spare = await machine.createCluster('spare');
  await production.start();
  await spare.start();
  const spareHome = join(machine.root, 'spare-home');
  await mkdir(spareHome, { mode: 0o755 });
  const said: string[] = [];
  return {
    machine,
    production,
    spare,
    spareHome,
    said,
    run: async (...args) => {
      const answer = await runCommand(machine, [...args, '--cluster', '15/production']);
      said.push(answer.stdout, answer.stderr);
      return answer;
    },
    configure: async (settings, secrets) => {
      for (const home of [machine.home, spareHome]) {
        await writeSettings(machine, home, settings);
        await writeCredentials(home, secrets, production.cluster.ownerGid);
      }
    },
  };
}

/** Backs up, goes on writing, and restores all of it on the spare, to the last row. `init` has been done. */
export async function backUpAndRestore({
  machine,
  production,
  spare,
  spareHome,
  said,
  run,
}: RemoteStory): Promise<void> {
  await production.sql('create table t as select generate_series(1, 200000) as n;');
  expect(await run('backup')).toMatchObject({ exitCode: 0 });
  await production.sql('insert into t select generate_series(200001, 300000);');
  // It switches the segment, waits until it is stored, and reads it back.
  expect(await run('check')).toMatchObject({ exitCode: 0 });

  const restore = async (...more: readonly string[]) => {
    const args = ['restore', '--cluster', '15/spare', '--format', 'json', ...more];
    const answer = await runCommand(machine, args, spareHome);
    said.push(answer.stdout, answer.stderr);
    expect(answer.exitCode, `${answer.stdout}\n${answer.stderr}`).toBe(0);
    const result: unknown = JSON.parse(answer.stdout);
    return result;
  };
  const { plan } = planSchema.parse(await restore());
  restoredSchema.parse(await restore(`--confirm=${plan.id}`));

  expect(await spare.sql('select count(*), sum(n) from t')).toBe('300000|45000150000');
  expect(await run('prune')).toMatchObject({ exitCode: 0 });
  expect((await run('status')).stdout).not.toMatch(/unavailable|refused/);
}
