import { execa } from 'execa';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Backup } from '../../src/core/backup.ts';
import { abandonRestore } from '../../src/jobs/abandon-restore.ts';
import { isUnderWay, readRestoreState } from '../../src/jobs/restore/restore-state.ts';
import { runRestore } from '../../src/jobs/restore/run-restore.ts';
import { readControlData } from '../../src/postgres/control-data.ts';
import { findServer } from '../../src/postgres/server-process.ts';
import type { ArchivedCluster } from './archived-cluster.ts';
import { seededRandom } from './kill-backups.ts';
import type { TestCluster } from './machine.ts';
import { plannedRestore, restoreContext } from './restore-context.ts';

/**
 * Kills the command `landscape-backup restore` at random instants of its life. After each kill nobody can start anything but
 * what was there or what was planned; then it goes on or is abandoned, and either is right to the row.
 */
export async function killRestores(
  archived: ArchivedCluster,
  spare: TestCluster,
  backup: Backup,
  { times, seed, rows }: { readonly times: number; readonly seed: number; readonly rows: string },
): Promise<void> {
  const random = seededRandom(seed);
  const context = await restoreContext(archived.machine, spare, archived.repository, {}, archived.options);
  const { kept } = await plannedRestore(context, { target: { to: 'end' } });
  const { label, dataDirectory } = spare.cluster;
  const command = () => {
    const args = ['restore', '--home', archived.machine.home, '--cluster', label, `--confirm=${kept.id}`];
    const program = join(archived.machine.runtime, 'bin', 'landscape-backup');
    return execa(program, args, { reject: false, env: archived.machine.env, cwd: '/' });
  };
  const began = performance.now();
  const whole = await command();
  const lifeMs = performance.now() - began;
  expect(whole.exitCode, whole.stderr).toBe(0);
  await expectRestored(spare, rows, 'nobody killed it');
  await expectAbandoned(context, spare, 'nobody killed it');
  for (let time = 1; time <= times; time += 1) {
    const afterMs = Math.round(random() * lifeMs);
    const goesOn = random() < 0.6;
    const child = command();
    await sleep(afterMs);
    child.kill('SIGKILL');
    await child;
    const state = await readRestoreState(context.unit);
    const where = `seed ${seed}, kill ${time} after ${afterMs} ms (${state?.stage ?? 'nothing'})`;
    if (state === undefined || state.planId !== kept.id || !isUnderWay(state)) {
      if (state?.stage === 'done') await expectAbandoned(context, spare, where);
      continue;
    }
    await expectNothingWrong(dataDirectory, spare, kept.plan.systemIdentifier, where);
    if (goesOn) {
      await runRestore(context, kept, backup).catch((error: unknown) => {
        throw new Error(`${where}: ${String(error)}`, { cause: error });
      });
      await expectRestored(spare, rows, where);
    }
    await expectAbandoned(context, spare, where);
  }
}

async function expectRestored(spare: TestCluster, rows: string, where: string): Promise<void> {
  expect(await spare.sql(`select count(*) || ' ' || md5(string_agg(t::text, ',' order by t)) from t`), where).toBe(
    rows,
  );
}

async function expectAbandoned(
  context: Awaited<ReturnType<typeof restoreContext>>,
  spare: TestCluster,
  where: string,
): Promise<void> {
  const { running } = await abandonRestore(context).catch((error: unknown) => {
    throw new Error(`${where}: ${String(error)}`, { cause: error });
  });
  expect(running, where).toBe(true);
  expect(await spare.sql('select one from mine'), where).toBe('1');
}

/** A stranger who starts what he finds, in the normal way or by hand without our options, gets nothing that is wrong. */
async function expectNothingWrong(
  dataDirectory: string,
  spare: TestCluster,
  restored: string,
  where: string,
): Promise<void> {
  if (!(await isThere(join(dataDirectory, 'global', 'pg_control')))) return;
  if ((await findServer(dataDirectory)) !== undefined) return;
  const { systemIdentifier } = await readControlData(spare.cluster.binaries, dataDirectory);
  if (systemIdentifier !== restored) return;
  if (await isThere(join(dataDirectory, 'recovery.signal'))) {
    // The options that make it recover are on our command line alone.
    const started = await execa(
      join(spare.cluster.binaries, 'postgres'),
      ['-D', dataDirectory, '-c', `config_file=${spare.cluster.configDirectory}/postgresql.conf`],
      { reject: false, timeout: 20_000, cwd: '/' },
    );
    expect(started.exitCode, `${where}: ${started.stderr}`).toBe(1);
    return;
  }
  expect(await isThere(join(dataDirectory, 'backup_label')), where).toBe(false);
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
