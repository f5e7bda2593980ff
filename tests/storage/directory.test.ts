import { chmod, link, mkdir, readdir, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { linkOnce } from '../../src/storage/directory-object.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import { PatientFiles, usualFilePatience } from '../../src/storage/patient-files.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { all, bodyOf, gate, noise, text } from './bytes.ts';
import { storageContract } from './contract.ts';
import { openAt, temporaryDirectory, type TemporaryDirectory } from './temporary-directory.ts';

storageContract('a directory', temporaryDirectory);

let directory: TemporaryDirectory;
let storage: Storage;

beforeEach(async () => {
  directory = await temporaryDirectory();
  storage = await directory.open();
});
afterEach(async () => {
  await directory.destroy();
});

async function entries(): Promise<string[]> {
  return (await readdir(directory.path, { recursive: true })).toSorted();
}

test('a destination that is not there is unavailable, and opening it creates nothing', async () => {
  const path = join(directory.path, 'not', 'mounted');

  await expect(openAt(path)).rejects.toMatchObject({
    kind: 'unavailable',
    message: `the destination file://${path} is not there`,
    hint: expect.stringContaining('Mount it'),
  });

  expect(await entries()).toEqual([]);
});

test('a destination that is a file is refused', async () => {
  const path = join(directory.path, 'file');
  await writeFile(path, '');

  await expect(openAt(path)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('not a directory'),
  });
});

test('a slash at the end of its path changes nothing', async () => {
  const slashed = await openDirectory(`${directory.path}/`, { url: 'file:///x', isShared: () => false });

  await slashed.put('a/b', bodyOf('1'));
  await slashed.remove('a/b');

  expect(await entries()).toEqual([]);
});

describe('when another directory stands in the place of the one that was opened', () => {
  beforeEach(async () => {
    await storage.put('a/b', bodyOf('1'));
    await rename(directory.path, `${directory.path}-away`);
    await mkdir(directory.path);
  });
  afterEach(async () => {
    await rm(`${directory.path}-away`, { recursive: true });
  });

  test.each<[string, () => Promise<unknown>]>([
    ['put', async () => await storage.put('a/c', bodyOf('2'))],
    ['get', async () => await storage.get('a/b')],
    ['list', async () => await all(storage.list(''))],
    ['list below', async () => await all(storage.list('a/'))],
    ['folders', async () => await storage.folders('a/')],
    ['remove', async () => await storage.remove('a/b')],
    ['sweep', async () => await storage.sweep('', new Date())],
    ['freeBytes', async () => await storage.freeBytes()],
    ['clock', async () => await storage.clock()],
  ])('%s is unavailable and creates nothing', async (_name, work) => {
    await expect(work()).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringContaining('no longer') });

    expect(await entries()).toEqual([]);
  });
});

test('when the directory goes away while a listing walks it, the listing fails and does not end', async () => {
  await storage.put('a/b', bodyOf('1'));
  await storage.put('c/d', bodyOf('1'));
  const walk = storage.list('')[Symbol.asyncIterator]();
  await walk.next();

  await rename(directory.path, `${directory.path}-away`);
  const next = await walk.next().catch((error: unknown) => error);
  await rename(`${directory.path}-away`, directory.path);

  expect(next).toMatchObject({ kind: 'unavailable' });
});

test('when the directory goes away during a put, the put fails', async () => {
  const half = gate();
  const rest = gate();
  const slow = async function* () {
    yield Buffer.from('1');
    half.open();
    await rest.opened;
  };

  const put = storage.put('a/b', slow()).catch((error: unknown) => error);
  await half.opened;
  await rename(directory.path, `${directory.path}-away`);
  rest.open();

  expect(await put).toMatchObject({ kind: 'unavailable' });
  await rename(`${directory.path}-away`, directory.path);
});

test('a link whose own success is reported as "exists" is a success, as a retransmission on NFS reports it', async () => {
  const [temporary, path] = [join(directory.path, '.t.tmp'), join(directory.path, 'object')];
  const files = new PatientFiles('file:///x', usualFilePatience);
  await writeFile(temporary, '1');
  await link(temporary, path);

  expect(await linkOnce(files, temporary, path)).toBe('linked');

  await rm(path);
  await writeFile(path, '1');
  expect(await linkOnce(files, temporary, path)).toBe('taken');
});

test.each([0o077, 0o022, 0o000])(
  'with the umask %i objects are 0640, folders 2750, shared ones 2770',
  async (umask) => {
    const before = process.umask(umask);
    try {
      await storage.put('a/b/c', bodyOf('1'));
      await storage.put('shared/b/c', bodyOf('1'));
    } finally {
      process.umask(before);
    }

    const mode = async (path: string) => ((await stat(join(directory.path, path))).mode & 0o7777).toString(8);
    expect([await mode('a'), await mode('a/b'), await mode('a/b/c')]).toEqual(['2750', '2750', '640']);
    expect([await mode('shared'), await mode('shared/b'), await mode('shared/b/c')]).toEqual(['2770', '2770', '640']);
  },
);

test('a folder whose maker died before it had its rights gets them; what an operator added stays', async () => {
  await mkdir(join(directory.path, 'a'), { mode: 0o700 });
  await mkdir(join(directory.path, 'b'));
  await chmod(join(directory.path, 'b'), 0o2775);

  await storage.put('a/x', bodyOf('1'));
  await storage.put('b/x', bodyOf('1'));

  expect((await stat(join(directory.path, 'a'))).mode & 0o7777).toBe(0o2750);
  expect((await stat(join(directory.path, 'b'))).mode & 0o7777).toBe(0o2775);
});

test('a process that knows folders goes on after another has removed them all', async () => {
  const other = await directory.open();
  await storage.put('a/b/c/d', bodyOf('1'));

  await other.remove('a/b/c/d');
  expect(await entries()).toEqual([]);
  await storage.put('a/b/c/e', bodyOf('2'));

  expect(await entries()).toEqual(['a', 'a/b', 'a/b/c', 'a/b/c/e']);
});

test('a sweep removes old temporary files at any depth, and neither young ones nor objects', async () => {
  await storage.put('a/b/c', bodyOf('1'));
  const old = new Date(Date.now() - 3_600_000);
  for (const name of ['.old.tmp', 'a/.old.tmp', 'a/b/.old.tmp', 'a/b/.young.tmp'])
    await writeFile(join(directory.path, name), '');
  for (const name of ['.old.tmp', 'a/.old.tmp', 'a/b/.old.tmp', 'a/b/c'])
    await utimes(join(directory.path, name), old, old);

  const swept = await storage.sweep('a/', new Date(Date.now() - 60_000));
  const left = await entries();
  const sweptAll = await storage.sweep('', new Date(Date.now() - 60_000));

  expect([swept, sweptAll]).toEqual([2, 1]);
  expect(left).toEqual(['.old.tmp', 'a', 'a/b', 'a/b/.young.tmp', 'a/b/c']);
});

test('a put whose temporary file was swept while it ran fails and leaves nothing', async () => {
  const slow = async function* () {
    yield Buffer.from('1');
    await (await directory.open()).sweep('', new Date(Date.now() + 60_000));
  };

  await expect(storage.put('a/b', slow())).rejects.toMatchObject({ kind: 'unavailable' });

  expect(await all(storage.list(''))).toEqual([]);
  expect(await entries()).toEqual(['a']);
});

test('nothing but the object is left after a put, a conflict and a broken body', async () => {
  const broken = async function* () {
    yield noise(100);
    throw new Error('broken');
  };

  await storage.put('a', bodyOf('1'));
  await expect(storage.put('a', bodyOf('2'))).rejects.toMatchObject({ kind: 'conflict' });
  await expect(storage.put('b', broken())).rejects.toThrow('broken');
  await storage.clock();

  expect(await entries()).toEqual(['a']);
});

test('names that are no part of keys are not listed: a file system has its own', async () => {
  await mkdir(join(directory.path, 'lost+found'), { mode: 0o000 });
  await mkdir(join(directory.path, '.snapshot'));
  await writeFile(join(directory.path, '.snapshot', 'x'), '');
  await writeFile(join(directory.path, '.nfs0001'), '');
  await storage.put('a', bodyOf(''));

  expect((await all(storage.list(''))).map(({ key }) => key)).toEqual(['a']);
  expect(await storage.folders('')).toEqual(['a']);
});

test('a symbolic link is refused and not passed over', async () => {
  await storage.put('a/b', bodyOf('1'));
  await symlink(join(directory.path, 'a'), join(directory.path, 'c'));

  await expect(all(storage.list(''))).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('symbolic link'),
  });
  await expect(storage.folders('')).rejects.toMatchObject({ kind: 'refused' });
  expect(await text(await storage.get('a/b'))).toBe('1');
});

test('an object that cannot be written does not leave its source open', async () => {
  let ended = false;
  const watched = async function* () {
    try {
      yield noise(10);
      yield noise(10);
    } finally {
      ended = true;
    }
  };
  await storage.put('a', bodyOf('1'));

  await expect(storage.put('a', watched())).rejects.toMatchObject({ kind: 'conflict' });

  expect(ended).toBe(true);
});
