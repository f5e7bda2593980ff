import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Backup } from '../../src/core/backup.ts';
import { checkRoom, decideDirectories, measureRoom } from '../../src/jobs/restore-places.ts';
import { backup } from '../core/catalogue-builder.ts';

let root: string;
let data: string;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'lb-places-')));
  data = join(root, 'data');
  await mkdir(join(data, 'pg_tblspc'), { recursive: true });
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

function withTablespaces(...locations: readonly string[]): Backup {
  const part = (name: string, sizeBytes: number) => ({ name, sizeBytes, sha256: '0'.repeat(64) });
  return {
    ...backup({ daysAgo: 1, segment: 5 }),
    plainBytes: 4000,
    archives: [
      ...locations.map((location, index) => ({
        oid: 16400 + index,
        location,
        parts: [part(`${String(index)}.00001`, 100)],
      })),
      { oid: null, location: null, parts: [part('base.00001', 300)] },
    ],
  };
}

async function decide(of: Backup, map: Readonly<Record<string, string>> = {}) {
  return await decideDirectories({ dataDirectory: data, major: '15' }, of, map);
}

test('a link in place of the WAL directory is kept and named', async () => {
  await mkdir(join(root, 'wal'));
  await symlink(join(root, 'wal'), join(data, 'pg_wal'));

  expect(await decide(withTablespaces())).toEqual({ data, wal: join(root, 'wal'), tablespaces: [] });
});

test('a tablespace keeps its place when that is free or this very cluster has it, and goes where the map says', async () => {
  const [mine, free, other] = [join(root, 'mine'), join(root, 'free'), join(root, 'other')];
  await mkdir(join(mine, 'PG_15_202209061'), { recursive: true });
  await symlink(mine, join(data, 'pg_tblspc', '16500'));

  const { tablespaces } = await decide(withTablespaces(mine, free, '/srv/production'), { '/srv/production': other });

  expect(tablespaces).toEqual([
    { oid: 16400, was: mine, location: mine },
    { oid: 16401, was: free, location: free },
    { oid: 16402, was: '/srv/production', location: other },
  ]);
  expect((await decide(withTablespaces(mine), { 16400: other })).tablespaces[0]?.location).toBe(other);
});

test('a place that holds what may be of another cluster is refused', async () => {
  const taken = join(root, 'taken');
  await mkdir(join(taken, 'PG_15_202209061'), { recursive: true });

  await expect(decide(withTablespaces(taken))).rejects.toMatchObject({
    kind: 'refused',
    message: `a tablespace would go to ${taken}, which holds PG_15_202209061 that is not this cluster's`,
    hint: expect.stringContaining('--tablespace-map'),
  });
});

test.each([
  ['relative/path', 'it is not an absolute, plain path'],
  ['/srv/../srv/x', 'it is not an absolute, plain path'],
])('a tablespace cannot go to %s', async (location, why) => {
  await expect(decide(withTablespaces('/srv/a'), { '/srv/a': location })).rejects.toThrow(why);
});

test('a tablespace can go neither into the data directory nor around it, nor two to one place', async () => {
  await expect(decide(withTablespaces(join(data, 'x')))).rejects.toThrow('the data directory is');
  await expect(decide(withTablespaces(root))).rejects.toThrow('the data directory is');
  await expect(
    decide(withTablespaces('/srv/a', '/srv/b'), { '/srv/a': join(root, 'c'), '/srv/b': join(root, 'c') }),
  ).rejects.toThrow(`two tablespaces would go to ${join(root, 'c')}`);
});

test('a map that names what is not there is refused', async () => {
  await expect(decide(withTablespaces('/srv/a'), { '/srv/b': '/srv/c' })).rejects.toMatchObject({
    message: expect.stringContaining('has no tablespace at /srv/b'),
    hint: 'Its tablespaces are at /srv/a.',
  });
});

test('the room that is needed is counted once for each file system, and what goes first counts as free', async () => {
  await writeFile(join(data, 'old'), Buffer.alloc(3_000_000, 1));
  await mkdir(join(data, 'pgsql_tmp.landscape-backup-old-0123456789abcdef'));
  await writeFile(join(data, 'pgsql_tmp.landscape-backup-old-0123456789abcdef', 'older'), Buffer.alloc(9_000_000, 1));
  const of = withTablespaces(join(root, 'free'));
  const directories = await decide(of);

  const [kept, ...others] = await measureRoom(directories, of, { walBytes: 1000, discardOld: false });
  const [discarded] = await measureRoom(directories, of, { walBytes: 1000, discardOld: true });

  expect(others).toEqual([]);
  expect(kept?.directories).toEqual([data, join(root, 'free')]);
  expect(kept?.neededBytes).toBe(1000 + 3090 + 1030);
  const gained = (discarded?.freeBytes ?? 0) - (kept?.freeBytes ?? 0);
  expect(gained).toBeGreaterThan(2_000_000);
  expect(gained).toBeLessThan(8_000_000);
});

test('no room is a failure that says where and how much', () => {
  const room = [{ directories: ['/var/lib/a', '/srv/b'], neededBytes: 5 * 1024 ** 2, freeBytes: 1024 ** 2 }];

  expect(() => {
    checkRoom(room, false);
  }).toThrow(
    expect.objectContaining({
      kind: 'machine',
      message: 'there is no room: /var/lib/a, /srv/b needs 5 MiB, free are 1 MiB',
      hint: expect.stringContaining('--discard-old'),
    }),
  );
  expect(() => {
    checkRoom([{ ...(room[0] ?? { directories: [] }), neededBytes: 5, freeBytes: 5 }], false);
  }).not.toThrow();
});
