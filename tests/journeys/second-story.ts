import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { encryptionOptions, newAgeKey } from '../setup/age.ts';
import { planSchema, restoredSchema, runForJson } from '../setup/command.ts';
import { openDestination, type DestinationOptions, type Destinations } from '../setup/destinations.ts';
import { until } from '../setup/wait.ts';
import { all } from '../storage/bytes.ts';
import { makeRemoteStory, type RemoteStory } from './remote-story.ts';

/** A destination that goes away and comes back. */
interface Leaving {
  readonly options: DestinationOptions;
  leave(): Promise<void>;
  comeBack(): Promise<void>;
}

/** Makes one on a machine of the story. */
export type MakeLeaving = (root: string) => Promise<Leaving>;

/** A directory that is not mounted for a while. */
export function directory(name: string): MakeLeaving {
  return async (root) => {
    const path = join(root, name);
    await mkdir(path);
    return {
      options: { destination: `file://${path}` },
      leave: async () => {
        await rename(path, `${path}-away`);
      },
      comeBack: async () => {
        await rename(`${path}-away`, path);
      },
    };
  };
}

/** A place on a server that is stopped for a while. */
export function on({ add, server }: Destinations): MakeLeaving {
  return async () => {
    if (server === undefined) throw new Error('there is no server that could be stopped');
    return { options: await add(), leave: server.halt, comeBack: server.resume };
  };
}

const rows = 'select count(*), sum(n) from t';
const secret = /-(?:private-key|access-key|secret-key|identity)$/;

/** Writes the settings of both homes: two destinations, and the keys of an encrypted repository where there are some. */
async function configure(story: RemoteStory, first: Leaving, second: Leaving, isEncrypted: boolean): Promise<void> {
  const ofSecond = Object.entries(second.options).map(([name, value]) => [
    name.replace(/^(?:destination$)?/, (whole) => (whole === '' ? 'destination-2-' : 'destination-2')),
    value,
  ]);
  const key = newAgeKey();
  const options: Readonly<Record<string, string>> = {
    ...first.options,
    ...Object.fromEntries(ofSecond),
    ...(isEncrypted ? encryptionOptions([key], [key]) : {}),
    'backup-schedule': '',
  };
  const [secrets, settings] = [true, false].map((isSecret) =>
    Object.fromEntries(Object.entries(options).filter(([name]) => secret.test(name) === isSecret)),
  );
  await story.configure(settings ?? {}, secrets ?? {});
}

/** What PostgreSQL has been told is stored. */
async function writeAndArchive({ production }: RemoteStory, from: number): Promise<void> {
  await production.sql(`insert into t select generate_series(${from + 1}, ${from + 50000})`);
  const last = await production.sql('select pg_walfile_name(pg_switch_wal())');
  const archived = async () => (await production.sql('select last_archived_wal from pg_stat_archiver')) >= last;
  await until(`${last} is archived`, archived, 240);
}

/** The keys of what lies at a destination and is the same at both. */
async function keysAt({ options }: Leaving, { machine }: RemoteStory): Promise<readonly string[]> {
  const storage = await openDestination(options, machine.home);
  try {
    const keys = (await all(storage.list(''))).map(({ key }) => key);
    return keys.filter((key) => !/\/(?:marks|probes|guests|leases)\//.test(key));
  } finally {
    await storage.close();
  }
}

/**
 * A second destination gets everything, may be away, takes WAL while the first is away, and serves a restore on a spare that
 * has never seen either.
 */
export async function tellSecondStory(makeFirst: MakeLeaving, makeSecond: MakeLeaving, isEncrypted: boolean) {
  const story = await makeRemoteStory();
  const { machine, production, spare, spareHome, run } = story;
  const first = await makeFirst(machine.root);
  const second = await makeSecond(machine.root);
  const url = second.options['destination'] ?? '';
  const said = async (...args: readonly string[]) => (await run(...args)).stdout;
  const runsDue = async () => {
    const answer = await run('run-due');
    expect(answer.exitCode, `${answer.stdout}\n${answer.stderr}`).toBe(0);
    return answer.stdout;
  };
  const expectSame = async () => {
    expect(await keysAt(second, story)).toEqual(await keysAt(first, story));
  };
  try {
    await configure(story, first, second, isEncrypted);
    expect(await run('init')).toMatchObject({ exitCode: 0 });
    await production.sql('create table t as select generate_series(1, 50000) as n');
    expect(await run('backup')).toMatchObject({ exitCode: 0 });
    await runsDue();
    expect(await said('status')).toContain(`the second destination ${url} has everything`);
    await expectSame();

    // The second is away: nothing waits, it is told, and it is caught up with.
    await second.leave();
    await writeAndArchive(story, 50_000);
    await run('run-due');
    expect(await said('status')).toMatch(/second destination.*, since .*; it lacks \d+ objects?/);
    await second.comeBack();
    expect(await runsDue()).toMatch(/the second destination: \d+ objects were brought over, 0 are left/);
    await expectSame();

    // The first is away: WAL goes to the second, and comes back.
    await first.leave();
    await writeAndArchive(story, 100_000);
    expect(await said('status')).toMatch(/WAL goes to the second destination/);
    expect(await said('status')).toContain(` only, since`);
    await first.comeBack();
    await runsDue();
    expect(await said('status')).not.toMatch(/ only, since/);
    await expectSame();
    const checked = await said('check');
    expect(checked).toMatch(/ok +second destination: .*refused to overwrite.*it lacks nothing/);
    expect(checked).toMatch(/ok +contiguity: .* found/);

    // The first is lost.
    await first.leave();
    await writeAndArchive(story, 150_000);
    const restore = ['restore', '--cluster', '15/spare'];
    const { plan } = await runForJson(machine, planSchema, restore, spareHome);
    expect(plan['url']).toBe(url);
    await runForJson(machine, restoredSchema, [...restore, `--confirm=${plan.id}`], spareHome);
    expect(await spare.sql(rows)).toBe(await production.sql(rows));
    expect(await spare.sql(rows)).toBe('200000|20000100000');
  } finally {
    await machine.destroy();
  }
}
