import { execa } from 'execa';
import { lstat, mkdir, readdir, readlink, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { planSchema, restoredSchema, runCommand, runForJson, writeSettings } from '../setup/command.ts';
import { asOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

let machine: Machine;
let production: TestCluster;
const isRoot = process.getuid?.() === 0;

beforeAll(async () => {
  machine = await makeMachine();
  production = await machine.createCluster('production', { settings: { max_prepared_transactions: '5' } });
  await production.start();
  await writeSettings(machine, machine.home, { 'restart-postgresql': 'true' });
  const at = ['--cluster', '15/production'];
  expect(await runCommand(machine, ['init', ...at])).toMatchObject({ exitCode: 0 });
  await production.sql('create table t as select generate_series(1, 1000) as n;');
  expect(await runCommand(machine, ['backup', ...at])).toMatchObject({ exitCode: 0 });
});

afterAll(async () => {
  await machine.destroy();
});

/** Restores the backup onto a spare of its own home, and says what came of it. */
async function restoreOnto(name: string, more: readonly string[]) {
  const home = join(machine.root, `home-${name}`);
  await mkdir(home, { mode: 0o755, recursive: true });
  await writeSettings(machine, home, { 'restart-postgresql': 'true' });
  const args = ['restore', '--cluster', `15/${name}`, ...more];
  const { plan } = await runForJson(machine, planSchema, args, home);
  return { home, ...(await runForJson(machine, restoredSchema, [...args, `--confirm=${plan.id}`], home)).restored };
}

const rows = async (server: TestCluster) => await server.sql('select count(*), sum(n) from t');

test('a data directory that is a link stays one; with discard-old and take-over the result owns a line of its own at once', async () => {
  const spare = await machine.createCluster('linked');
  const path = spare.cluster.dataDirectory;
  const elsewhere = join(machine.root, 'data', 'elsewhere');
  await rename(path, elsewhere);
  await symlink(elsewhere, path);
  await spare.start();

  const restored = await restoreOnto('linked', ['--to', 'backup', '--discard-old', '--take-over']);

  expect(restored).toMatchObject({ incarnation: 2, oldKept: false });
  expect(await readlink(path)).toBe(elsewhere);
  expect(await asOwner('ls', ['-A', elsewhere]).then(({ stdout }) => stdout)).not.toContain('landscape-backup-old');
  expect(await rows(spare)).toBe('1000|500500');
  expect(await spare.sql('show archive_mode')).toBe('on');
  const listed = await runCommand(machine, ['list-backups', '--cluster', '15/linked'], restored.home);
  expect(listed.stdout).toMatch(/incarnation 2: this unit, continues 1/);
  expect((await runCommand(machine, ['run-due', '--cluster', '15/linked'], restored.home)).exitCode).toBe(0);
});

test.runIf(isRoot)(
  'a data directory that is a mount point stays mounted, and the old contents lie aside in it',
  async () => {
    const spare = await machine.createCluster('mounted');
    const path = spare.cluster.dataDirectory;
    const aside = join(machine.root, 'data', 'before-mount');
    await rename(path, aside);
    await mkdir(path, { mode: 0o700 });
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=512m,mode=0700', 'tmpfs', path]);
    try {
      await execa('cp', ['-a', `${aside}/.`, path]);
      await execa('chown', ['postgres:postgres', path]);
      const before = await lstat(path);
      await spare.start();

      const restored = await restoreOnto('mounted', ['--to', 'backup']);

      expect(restored).toMatchObject({ incarnation: null, oldKept: true });
      expect((await lstat(path)).dev).toBe(before.dev);
      expect(await rows(spare)).toBe('1000|500500');
      expect((await readdir(path)).filter((name) => name.startsWith('pgsql_tmp.landscape-backup-old-'))).toHaveLength(
        1,
      );
    } finally {
      await spare.stop('immediate');
      await execa('umount', [path]);
    }
  },
);

test('a prepared transaction comes back open, and the restore says that somebody has to end it', async () => {
  const point = ['create-restore-point', 'with-one-prepared', '--cluster', '15/production'];
  await production.sql(`begin; insert into t values (7); prepare transaction 'left open';`);
  expect(await runCommand(machine, point)).toMatchObject({ exitCode: 0 });
  const spare = await machine.createCluster('prepared');
  await spare.start();
  const stored = async () => (await runCommand(machine, ['check', '--cluster', '15/production'])).exitCode;
  expect(await stored()).toBe(0);

  const restored = await restoreOnto('prepared', ['--to', 'name=with-one-prepared', '--incarnation', '1']);

  expect(restored).toMatchObject({
    notes: expect.arrayContaining([expect.stringContaining('1 prepared transactions are open')]),
  });
  expect(await spare.sql('select gid from pg_prepared_xacts')).toBe('left open');
  await production.sql(`rollback prepared 'left open'`);
});
