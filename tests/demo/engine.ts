/**
 * The story of the engine alone, without Juju: on a real PostgreSQL in private directories, as any user.
 *
 * A production cluster with Landscape's databases is archived and backed up while it is written to; a second is noted; a
 * disaster is committed; a spare is restored to that second; every row is compared; the copy is shown to be unable to write
 * into the original's line. Ends with `restored: <n> of <n> rows to <time>` and exit code 0 only when that is true.
 */
import { execa } from 'execa';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { createLandscapeDatabases, everyRow } from '../setup/landscape-databases.ts';
import { makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';
import { bold, say, title } from './narrator.ts';

/** Types a command as an administrator would, shows it and what it prints. */
async function type(
  machine: Machine,
  home: string,
  args: readonly string[],
  options: { quiet?: boolean; exitCode?: number } = {},
): Promise<string> {
  say(`   $ landscape-backup ${args.join(' ')}`);
  const { stdout, exitCode } = await execa(
    join(machine.runtime, 'bin', 'landscape-backup'),
    [...args, '--home', home],
    {
      env: machine.env,
      reject: false,
      stderr: options.quiet === true ? 'pipe' : 'inherit',
      cwd: '/',
    },
  );
  if (options.quiet !== true)
    say(
      stdout
        .split('\n')
        .map((line) => `   ${line}`)
        .join('\n'),
    );
  if (exitCode !== (options.exitCode ?? 0))
    throw new Error(`landscape-backup ${args.join(' ')} ended with ${exitCode ?? 'a signal'}`);
  return stdout;
}

/** Commits a row every few milliseconds until it is told to stop; says how many. */
function keepWriting(server: TestCluster): { stop(): Promise<number> } {
  let going = true;
  let committed = 0;
  const working = (async () => {
    while (going) {
      await server.sql(
        `insert into activity (computer_id, summary) select i, md5(random()::text) from generate_series(1, 50) i;`,
        'landscape-standalone-resource-1',
      );
      committed += 1;
      await sleep(20);
    }
  })();
  return {
    stop: async () => {
      going = false;
      await working;
      return committed;
    },
  };
}

/** Every object of the repository with its size and time of change: equal listings mean that nobody wrote. */
async function listing(folder: string): Promise<string> {
  const names = (await readdir(folder, { recursive: true })).sort();
  const lines = await Promise.all(
    names.map(async (name) => {
      const found = await stat(join(folder, name));
      return found.isFile() ? `${name} ${found.size} ${found.mtimeMs}` : name;
    }),
  );
  return lines.join('\n');
}

const planSchema = z.object({ plan: z.object({ id: z.string() }) });

async function tell(machine: Machine, started: TestCluster[]): Promise<boolean> {
  title('Production: a PostgreSQL cluster with the databases of Landscape');
  const production = await machine.createCluster('production', { segmentMiB: 16 });
  started.push(production);
  await production.start();
  await createLandscapeDatabases(production);
  await writeFile(
    join(machine.home, 'settings.yaml'),
    `destination: ${machine.destination}\nrestart-postgresql: true\n`,
  );
  say(`   settings.yaml: destination: ${machine.destination}`);
  await type(machine, machine.home, ['init', '--cluster', '15/production']);

  title('A base backup, while Landscape goes on writing');
  const writer = keepWriting(production);
  await type(machine, machine.home, ['backup', '--cluster', '15/production']);
  const transactions = await writer.stop();
  say(`   ${transactions} transactions were committed meanwhile`);

  title('A second is noted, then the disaster');
  const expected = await everyRow(production);
  const noted = await production.sql('select clock_timestamp()');
  const second = new Date(Date.parse(noted) + 1).toISOString();
  say(`   at ${second} there are ${expected.length} rows`);
  await sleep(50);
  await production.sql(
    `delete from computer; drop table server_identity; update account set title = 'gone';`,
    'landscape-standalone-main',
  );
  await production.sql('drop table package;', 'landscape-standalone-package');
  say('   committed: delete from computer; drop table server_identity; drop table package; …');
  const after = keepWriting(production);
  await sleep(500);
  await after.stop();
  say('   every minute a timer calls run-due; here by hand, before and after a segment has ended:');
  await type(machine, machine.home, ['run-due', '--cluster', '15/production']);
  await production.sql('select pg_switch_wal()');
  await sleep(1000);
  await type(machine, machine.home, ['run-due', '--cluster', '15/production']);
  await type(machine, machine.home, ['status', '--cluster', '15/production']);
  await type(machine, machine.home, ['list-backups', '--cluster', '15/production']);

  title('A spare, as on another machine: the plan comes first');
  const spare = await machine.createCluster('spare', { segmentMiB: 16 });
  started.push(spare);
  await spare.start();
  const spareHome = join(machine.root, 'spare-home');
  await mkdir(spareHome, { mode: 0o755 });
  await writeFile(join(spareHome, 'settings.yaml'), `destination: ${machine.destination}\n`);
  const before = ['restore', '--cluster', '15/spare', '--to', `time=${second}`];
  await type(machine, spareHome, before);
  const plan = planSchema.parse(
    JSON.parse(await type(machine, spareHome, [...before, '--format', 'json'], { quiet: true })),
  );
  await type(machine, spareHome, [...before, `--confirm=${plan.plan.id}`]);

  title('Every row compared');
  const restored = await everyRow(spare);
  const wanted = new Set(expected);
  const same = restored.filter((row) => wanted.has(row)).length;
  say(`   ${expected.length} rows then, ${restored.length} on the spare, ${same} the same`);

  title("The copy can't write into the line of the original");
  await type(machine, spareHome, ['status', '--cluster', '15/spare'], { exitCode: 12 });
  const untouched = await copyIsHarmless(machine, spare, spareHome);

  title('Left for a look');
  say(`   the repository:  ${machine.destination}`);
  say(`   how to read it:  ${machine.destination}/README.txt`);
  say(`   clean up with:   rm -r ${machine.root}`);
  const good = untouched && same === expected.length && restored.length === expected.length;
  say(`\n${bold(`restored: ${same} of ${expected.length} rows to ${second}`)}`);
  return good;
}

async function copyIsHarmless(machine: Machine, spare: TestCluster, home: string): Promise<boolean> {
  const mode = await spare.sql('show archive_mode');
  say(`   archive_mode on the spare: ${mode}`);
  await sleep(1200); // What production still had to archive has arrived, and times of change would differ from here on.
  const before = await listing(join(machine.destination, 'clusters'));
  const segment = await spare.sql('select pg_walfile_name(pg_current_wal_lsn())');
  const { exitCode, stderr } = await execa(
    join(machine.runtime, 'bin', 'archive-wal'),
    [join(home, '15-spare'), `pg_wal/${segment}`, segment],
    { cwd: (await spare.look()).dataDirectory, reject: false, env: machine.env },
  );
  say(`   its archive_command, called by hand: exit code ${exitCode ?? 'none'}`);
  say(`     ${stderr.trim().split('\n')[0] ?? ''}`);
  const same = before === (await listing(join(machine.destination, 'clusters')));
  say(`   the line of the original: ${same ? 'not a byte changed' : 'CHANGED'}`);
  return same && mode === 'off' && exitCode !== 0;
}

/** Tells it; true when every row came back and nobody wrote where he may not. */
export async function tellEngine(): Promise<boolean> {
  say(bold('landscape-backup on a real PostgreSQL, in private directories and sockets'));
  const machine = await makeMachine();
  const started: TestCluster[] = [];
  try {
    return await tell(machine, started);
  } finally {
    for (const server of started) await server.stop('immediate');
  }
}
