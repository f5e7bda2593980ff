import { execa } from 'execa';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { captureFileSet, type FileSetRequest } from '../../src/jobs/file-set.ts';
import type { JobProgress } from '../../src/jobs/job-progress.ts';
import { listFileSets, readFileSet } from '../../src/repository/file-sets.ts';
import { isSharedFolder } from '../../src/repository/layout.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { openDirectory } from '../../src/storage/directory.ts';

let folder: string;
let files: string;
let repository: Repository;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lb-files-'));
  files = join(folder, 'etc');
  await mkdir(join(files, 'conf.d'), { recursive: true });
  await mkdir(join(folder, 'destination'));
  for (const each of [files, join(files, 'conf.d')]) await chmod(each, 0o755);
  const storage = await openDirectory(join(folder, 'destination'), { url: 'file:///d', isShared: isSharedFolder });
  ({ repository } = await createRepository(storage, new Date()));
  await writeFile(join(files, 'one.conf'), 'one\n', { mode: 0o640 });
  await chmod(join(files, 'one.conf'), 0o640);
  await writeFile(join(files, 'conf.d', 'ours.conf'), 'ours\n');
  await symlink('/etc/hostname', join(files, 'link'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function request(changes: Partial<FileSetRequest> = {}): FileSetRequest {
  return {
    repository,
    identity: { model: 'model', application: 'host.example', unit: '15-main' },
    paths: [files],
    isOurs: (path) => path.endsWith('ours.conf'),
    level: 1,
    now: new Date('2026-11-24T02:00:00Z'),
    ...changes,
  };
}

/** What tar says is in the stored set, without its first letters' rights and owners. */
async function unpack(id: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  const set = { model: 'model', application: 'host.example', unit: '15-main', id };
  for await (const chunk of readFileSet(repository, set)) chunks.push(chunk);
  const into = join(folder, `unpacked-${id}`);
  await mkdir(into);
  await execa('tar', ['-x', '-p', '-C', into], { input: Buffer.concat(chunks) });
  return join(into, files);
}

describe('a file set', () => {
  test('holds files, directories and links with their rights and owners, and nothing of ours', async () => {
    const { stdout: me } = await execa('id', ['-un']);
    const set = (await captureFileSet(request())).set;

    expect(set.files.map(({ path, kind, target }) => [path.slice(files.length), kind, target])).toEqual([
      ['', 'directory', null],
      ['/conf.d', 'directory', null],
      ['/link', 'link', '/etc/hostname'],
      ['/one.conf', 'file', null],
    ]);
    expect(set.files.at(-1)).toMatchObject({ mode: 0o640, sizeBytes: 4, owner: me });
    const unpacked = await unpack(set.id);
    const { stdout } = await execa('find', ['.', '-printf', '%P %y %l %m\\n'], { cwd: unpacked });
    expect(stdout.split('\n').sort()).toEqual([
      ' d  755',
      'conf.d d  755',
      'link l /etc/hostname 777',
      'one.conf f  640',
    ]);
  });

  test('tells how far it is while it is read and while it is stored, up to all of its bytes', async () => {
    await writeFile(join(files, 'large.conf'), Buffer.alloc(3_000_000, 'x'));
    const told: JobProgress[] = [];
    await captureFileSet(request({ progress: (progress) => told.push(progress) }));

    expect([...new Set(told.map(({ phase }) => phase))]).toEqual(['reading the files', 'storing the files']);
    for (const phase of ['reading the files', 'storing the files']) {
      const steps = told.filter((step) => step.phase === phase).map(({ bytes }) => bytes ?? Number.NaN);
      expect(steps.length).toBeGreaterThan(1);
      expect(steps).toEqual(steps.toSorted((a, b) => a - b));
      expect(steps.at(-1)).toBe(3_000_004);
    }
  });

  test('that has not changed is stored once', async () => {
    const first = (await captureFileSet(request())).set;
    const second = (await captureFileSet(request({ now: new Date('2026-11-25T02:00:00Z') }))).set;

    expect(second).toEqual(first);
    expect(await listFileSets(repository, request().identity)).toEqual([first]);
  });

  test.each([
    ['contents', async () => await writeFile(join(files, 'one.conf'), 'two\n')],
    ['rights', async () => await chmod(join(files, 'one.conf'), 0o600)],
    [
      'a link',
      async () => {
        await rm(join(files, 'link'));
        await symlink('/etc/hosts', join(files, 'link'));
      },
    ],
    ['a name', async () => await writeFile(join(files, 'new.conf'), '')],
  ])('is stored again when %s changed', async (_what, change) => {
    const first = (await captureFileSet(request())).set;
    await change();
    const second = (await captureFileSet(request())).set;

    expect(second.id).not.toBe(first.id);
    expect(await listFileSets(repository, request().identity)).toHaveLength(2);
  });

  test('says which paths are not there', async () => {
    const set = (await captureFileSet(request({ paths: [join(folder, 'nowhere'), files] }))).set;

    expect(set.missing).toEqual([join(folder, 'nowhere')]);
  });

  test('of nothing is a set too', async () => {
    const set = (await captureFileSet(request({ paths: [join(folder, 'nowhere')] }))).set;

    expect(set.files).toEqual([]);
  });

  test('does not follow a link out of its directory', async () => {
    await mkdir(join(folder, 'elsewhere'));
    await writeFile(join(folder, 'elsewhere', 'secret'), 'secret\n');
    await symlink(join(folder, 'elsewhere'), join(files, 'directory'));
    const set = (await captureFileSet(request())).set;

    expect(set.files.filter(({ path }) => path.includes('secret'))).toEqual([]);
    expect(set.files.find(({ path }) => path.endsWith('directory'))?.kind).toBe('link');
  });

  test('is refused where the directory holds what is no configuration', async () => {
    await writeFile(join(files, 'dump.sql'), Buffer.alloc(33 * 1024 * 1024));

    await expect(captureFileSet(request())).rejects.toMatchObject({
      kind: 'refused',
      hint: expect.stringContaining('dump.sql'),
    });
    expect(await listFileSets(repository, request().identity)).toEqual([]);
  });
});

test('files that are as they were once, but not the last time, are a new set: a restore takes the newest before a moment', async () => {
  const first = await captureFileSet(request());
  await writeFile(join(files, 'one.conf'), 'two\n');
  const second = await captureFileSet(request({ now: new Date('2026-11-25T02:00:00Z') }));
  await writeFile(join(files, 'one.conf'), 'one\n');
  const third = await captureFileSet(request({ now: new Date('2026-11-26T02:00:00Z') }));
  expect(third.isNew).toBe(true);
  expect(third.set.digest).toBe(first.set.digest);
  expect(new Set([first, second, third].map(({ set }) => set.id)).size).toBe(3);
  expect(await captureFileSet(request({ now: new Date('2026-11-27T02:00:00Z') }))).toEqual({
    set: third.set,
    isNew: false,
  });
});
