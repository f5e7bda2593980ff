import { execa, execaSync } from 'execa';
import { chmod, chown, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { all, bodyOf, noise, text } from './bytes.ts';
import { openAt, temporaryDirectory, type TemporaryDirectory } from './temporary-directory.ts';

const isRoot = process.getuid?.() === 0;
const canMount = isRoot && execaSync('unshare', ['--mount', 'true'], { reject: false }).exitCode === 0;
const knowsExfat =
  canMount &&
  execaSync('sh', ['-c', 'command -v mkfs.exfat && command -v mount.exfat-fuse && test -c /dev/fuse'], {
    reject: false,
  }).exitCode === 0;

let directory: TemporaryDirectory;
let place: string;

beforeEach(async () => {
  directory = await temporaryDirectory();
  place = join(directory.path, 'place');
  await mkdir(place);
});
afterEach(async () => {
  await directory.destroy();
});

/** Runs with something mounted at the place. */
async function mounted(args: readonly string[], work: () => Promise<void>): Promise<void> {
  await execa('mount', [...args, place]);
  try {
    await work();
  } finally {
    await execa('umount', ['--lazy', place], { reject: false });
  }
}

describe.skipIf(!canMount)('on file systems of its own (needs root and the right to mount)', () => {
  const tmpfs = ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs'];

  test('a full disk is unavailable, says so, leaves nothing, and the next put succeeds when there is room', async () => {
    await mounted(tmpfs, async () => {
      const storage = await openAt(place);
      await storage.put('first', bodyOf(noise(2_000_000)));

      await expect(storage.put('a/second', bodyOf(noise(1_500_000), noise(1_500_000)))).rejects.toMatchObject({
        kind: 'unavailable',
        message: expect.stringContaining('the disk is full'),
      });
      const names = (await readdir(place, { recursive: true })).toSorted();
      const free = await storage.freeBytes();
      await storage.remove('first');
      await storage.put('a/second', bodyOf(noise(3_000_000)));

      expect(names).toEqual(['a', 'first']);
      expect(free).toBeGreaterThan(1_500_000);
      expect((await all(storage.list(''))).map(({ sizeBytes }) => sizeBytes)).toEqual([3_000_000]);
    });
  });

  test('a mount that goes away is unavailable in every answer, and nothing is created below it', async () => {
    await mounted(tmpfs, async () => {
      const storage = await openAt(place);
      await storage.put('a/b', bodyOf('1'));

      await execa('umount', [place]);

      const asked = [
        storage.get('a/b'),
        storage.put('a/c', bodyOf('1')),
        storage.remove('a/b'),
        storage.folders('a/'),
        all(storage.list('a/')),
        storage.clock(),
      ];
      for (const each of await Promise.allSettled(asked)) {
        expect(each).toMatchObject({ status: 'rejected', reason: { kind: 'unavailable' } });
      }
      expect(await readdir(place)).toEqual([]);
    });
  });

  test('a mount over what was opened is not taken for it', async () => {
    const storage = await openAt(place);
    await storage.put('a', bodyOf('1'));

    await mounted(tmpfs, async () => {
      await expect(storage.get('a')).rejects.toMatchObject({ kind: 'unavailable' });
      await expect(storage.put('b', bodyOf('1'))).rejects.toMatchObject({ kind: 'unavailable' });
      expect(await readdir(place)).toEqual([]);
    });

    expect(await text(await storage.get('a'))).toBe('1');
  });

  test('on a file system mounted read-only what is there is read, and a put is unavailable', async () => {
    await mounted(tmpfs, async () => {
      await (await openAt(place)).put('a', bodyOf('1'));
      await execa('mount', ['-o', 'remount,ro', place]);
      const storage = await openAt(place);

      expect(await text(await storage.get('a'))).toBe('1');
      const writes = [
        async () => await storage.put('b', bodyOf('1')),
        async () => await storage.put('c/d', bodyOf('1')),
        async () => await storage.remove('a'),
      ];
      for (const write of writes) {
        await expect(write()).rejects.toMatchObject({
          kind: 'unavailable',
          message: expect.stringContaining('read-only'),
        });
      }
    });
  });

  test.skipIf(!knowsExfat)(
    'a file system without hard links is refused and left empty (needs exfat-fuse)',
    async () => {
      const image = join(directory.path, 'image');
      await execa('truncate', ['--size=16M', image]);
      await execa('mkfs.exfat', [image]);
      const { stdout: device } = await execa('losetup', ['--find', '--show', image]);
      try {
        await execa('mount.exfat-fuse', [device, place]);
        const storage = await openAt(place);

        await expect(storage.put('a', bodyOf('1'))).rejects.toMatchObject({
          kind: 'refused',
          message: expect.stringContaining('no hard links'),
          hint: expect.stringContaining('ext4'),
        });

        expect(await readdir(place)).toEqual([]);
      } finally {
        await execa('umount', [place], { reject: false });
        await execa('losetup', ['--detach', device]);
      }
    },
  );
});

describe.skipIf(!isRoot)('as another user (needs root to become one)', () => {
  const [uid, gid, sharedGroup] = [54_321, 54_322, 54_323];

  /** Does the work with the rights of a user in a group and no other. */
  async function as<T>(groups: readonly number[], work: () => Promise<T>): Promise<T> {
    const before = process.getgroups?.() ?? [];
    process.setgroups?.([...groups]);
    process.setegid?.(gid);
    process.seteuid?.(uid);
    try {
      return await work();
    } finally {
      process.seteuid?.(0);
      process.setegid?.(0);
      process.setgroups?.(before);
    }
  }

  beforeEach(async () => {
    await chmod(directory.path, 0o755);
  });

  test('wrong modes are refused with uid, gid and path; nothing reads as missing', async () => {
    const storage = await openAt(place);
    await storage.put('a/b', bodyOf('1'));
    await chmod(place, 0o2755);
    await chmod(join(place, 'a'), 0o700);

    await as([], async () => {
      const theirs = await openAt(place);
      const asked: readonly (readonly [string, () => Promise<unknown>])[] = [
        ['a/b', async () => await theirs.get('a/b')],
        ['a/never', async () => await theirs.get('a/never')],
        ['a', async () => await theirs.folders('a/')],
        ['a', async () => await all(theirs.list(''))],
        ['a', async () => await theirs.put('a/c', bodyOf('1'))],
        ['b', async () => await theirs.put('b', bodyOf('1'))],
        ['', async () => await theirs.clock()],
        ['a/b', async () => await theirs.remove('a/b')],
      ];
      for (const [path, answer] of asked) {
        await expect(answer(), path).rejects.toMatchObject({
          kind: 'refused',
          message: expect.stringContaining(place),
          hint: `This process runs as uid ${uid}, gid ${gid}: give it the right to this path.`,
        });
      }
    });

    expect(await text(await storage.get('a/b'))).toBe('1');
  });

  test('in a folder of a group everything made below belongs to that group, and its other members can read it', async () => {
    await chown(place, 0, sharedGroup);
    await chmod(place, 0o2770);
    const before = process.umask(0o077);

    await as([sharedGroup], async () => {
      await (await openAt(place)).put('shared/a/b', bodyOf('1'));
      await (await openAt(place)).put('own/a/b', bodyOf('1'));
    });
    process.umask(before);

    const look = async (path: string) => {
      const { mode, gid: group } = await stat(join(place, path));
      return [(mode & 0o7777).toString(8), group];
    };
    expect(await look('shared/a')).toEqual(['2770', sharedGroup]);
    expect(await look('own/a')).toEqual(['2750', sharedGroup]);
    expect(await look('own/a/b')).toEqual(['640', sharedGroup]);
  });

  test('a file of another user in the destination is read by who may, and refused to who may not', async () => {
    await chmod(place, 0o2777);
    await writeFile(join(place, 'theirs'), 'secret', { mode: 0o600 });

    await as([], async () => {
      await expect((await openAt(place)).get('theirs')).rejects.toMatchObject({ kind: 'refused' });
    });
  });
});
