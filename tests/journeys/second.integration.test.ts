import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { planSchema, restoredSchema, runForJson } from '../setup/command.ts';
import { becomeOwner } from '../setup/machine.ts';
import { until } from '../setup/wait.ts';
import { makeRemoteStory, type RemoteStory } from './remote-story.ts';

beforeAll(() => {
  becomeOwner();
});

const rows = 'select count(*), sum(n) from t';

/** What PostgreSQL has been told is stored. */
async function writeAndArchive({ production }: RemoteStory, from: number): Promise<void> {
  await production.sql(`insert into t select generate_series(${from + 1}, ${from + 50000})`);
  const last = await production.sql('select pg_walfile_name(pg_switch_wal())');
  const archived = async () => (await production.sql('select last_archived_wal from pg_stat_archiver')) >= last;
  await until(`${last} is archived`, archived, 240);
}

/** The names of what lies at a place that is the same at both. */
async function objectsOf(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length))
    .filter((name) => !/\/(?:marks|probes|guests|leases)\/|\/\./.test(name))
    .toSorted();
}

test('a second destination gets everything, may be away, takes WAL while the first is away, and serves a restore when that is lost', async () => {
  const story = await makeRemoteStory();
  const { machine, production, spare, spareHome, run } = story;
  const first = machine.destination;
  const second = join(machine.root, 'second');
  const said = async (...args: readonly string[]) => (await run(...args)).stdout;
  const runsDue = async () => {
    const answer = await run('run-due');
    expect(answer.exitCode, `${answer.stdout}\n${answer.stderr}`).toBe(0);
    return answer.stdout;
  };
  try {
    await mkdir(second);
    await story.configure({ destination: first, 'destination-2': second, 'backup-schedule': '' }, {});
    expect(await run('init')).toMatchObject({ exitCode: 0 });
    await production.sql('create table t as select generate_series(1, 50000) as n');
    expect(await run('backup')).toMatchObject({ exitCode: 0 });
    await runsDue();
    expect(await said('status')).toContain(`the second destination file://${second} has everything`);
    expect(await objectsOf(second)).toEqual(await objectsOf(first));

    // The second is away: nothing waits, it is told, and it is caught up with.
    await rename(second, `${second}-away`);
    await writeAndArchive(story, 50_000);
    await run('run-due');
    expect(await said('status')).toMatch(/second destination.* is not there, since .*; it lacks \d+ objects?/);
    await rename(`${second}-away`, second);
    expect(await runsDue()).toMatch(/the second destination: \d+ objects were brought over, 0 are left/);
    expect(await objectsOf(second)).toEqual(await objectsOf(first));

    // The first is away: WAL goes to the second, and comes back.
    await rename(first, `${first}-away`);
    await writeAndArchive(story, 100_000);
    expect(await said('status')).toMatch(/WAL goes to the second destination/);
    expect(await said('status')).toMatch(/WAL files? lies? at file:.*second only/);
    await rename(`${first}-away`, first);
    await runsDue();
    expect(await said('status')).not.toMatch(/ only, since/);
    expect(await objectsOf(second)).toEqual(await objectsOf(first));
    const checked = await said('check');
    expect(checked).toMatch(/ok +second destination: .*refused to overwrite.*it lacks nothing/);
    expect(checked).toMatch(/ok +contiguity: .* found/);

    // The first is lost: what was stored is restored from the second, on a spare that has never seen either.
    await rename(first, `${first}-lost`);
    await writeAndArchive(story, 150_000);
    const restore = ['restore', '--cluster', '15/spare'];
    const { plan } = await runForJson(machine, planSchema, restore, spareHome);
    expect(plan['url']).toBe(`file://${second}`);
    await runForJson(machine, restoredSchema, [...restore, `--confirm=${plan.id}`], spareHome);
    expect(await spare.sql(rows)).toBe(await production.sql(rows));
    expect(await spare.sql(rows)).toBe('200000|20000100000');
  } finally {
    await machine.destroy();
  }
}, 900_000);
