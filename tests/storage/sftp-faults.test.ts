import { execa, execaSync } from 'execa';
import { readFile, rm, stat, symlink, writeFile, chmod, mkdir, appendFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { openSftp } from '../../src/storage/sftp.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { startOverwritingSftp } from '../doubles/overwriting-sftp.ts';
import { startTcpProxy, type TcpProxy } from '../doubles/tcp-proxy.ts';
import { newKey, startSshd, type Sshd } from '../setup/sshd.ts';
import { all, bodyOf, bytes, noise, text } from './bytes.ts';
import { sftpSite, type SftpSite } from './sftp-site.ts';

const canMount =
  process.getuid?.() === 0 && execaSync('unshare', ['--mount', 'true'], { reject: false }).exitCode === 0;

let server: Sshd;
let proxy: TcpProxy;
let site: SftpSite;

beforeAll(async () => {
  server = await startSshd();
  proxy = await startTcpProxy(server.port);
});
afterAll(async () => {
  await proxy.stop();
  await server.stop();
});
beforeEach(async () => {
  proxy.fault = 'none';
  proxy.cut();
  site = await sftpSite(server);
});
afterEach(async () => {
  await site.destroy();
});

async function withStorage<T>(work: (storage: Storage) => Promise<T>, requestMs = 60_000): Promise<T> {
  const storage = await site.open({ port: proxy.port, requestMs });
  try {
    return await work(storage);
  } finally {
    await storage.close();
  }
}

describe('whom it talks to', () => {
  test('a server whose key is not pinned is refused with the key that it offers and the line to set', async () => {
    const access = { ...server.access(), hostKeys: [] };

    await expect(site.open({ access })).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining(`it offers ${server.hostKey.trim()}`),
      hint: expect.stringContaining(`set sftp-host-key: "${server.hostKey.trim()}"`),
    });
  });

  test('a server with another key than the pinned one is refused before anything is sent', async () => {
    const other = newKey().public.split(' ');
    const access = { ...server.access(), hostKeys: [{ type: other[0] ?? '', base64: other[1] ?? '' }] };

    await expect(site.open({ access })).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('is not the one that the option sftp-host-key names'),
    });
  });

  test('without a key in the options the unit makes its own once, keeps it to itself, and says the line that lets it in', async () => {
    const access = { ...server.access(), privateKey: undefined };
    const open = async () => await site.open({ access });

    const refusals = await Promise.all([1, 2, 3].map(async () => await open().catch((error: unknown) => error)));
    const hints = new Set(refusals.map((error) => (isFailure(error, 'refused') ? error.hint : 'another')));
    const line = /ssh-ed25519 \S+ landscape-backup$/.exec([...hints].join())?.[0] ?? '';
    await appendFile(server.authorizedKeys, `${line}\n`);
    const storage = await open();
    const remarks = await storage.remarks();
    await storage.close();

    expect(hints.size).toBe(1);
    expect(remarks).toEqual([{ is: 'note', text: expect.stringContaining(line) }]);
    const path = join(`${site.path}.private`, 'sftp-key');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const key = await readFile(path, 'utf8');
    for (const secret of key.split('\n').filter((each) => each.length > 20 && !each.startsWith('-'))) {
      expect(JSON.stringify(refusals)).not.toContain(secret);
    }
  });

  test('a server that is not there is unavailable, and so is a folder that is not', async () => {
    proxy.fault = 'refuse';
    await expect(site.open({ port: proxy.port })).rejects.toMatchObject({ kind: 'unavailable' });
    await rm(site.path, { recursive: true });
    await expect(site.open()).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('is not there'),
    });
  });
});

describe('when the connection is lost', () => {
  test('at any byte of a put, the object is whole or missing, the next call works, and a sweep removes the rest', async () => {
    const plain = noise(300_000);
    let round = 0;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('up', 'down'), fc.double({ min: 0, max: 1, noNaN: true }), async (way, part) => {
        round += 1;
        const key = `a/${round}/b`;
        await withStorage(async (storage) => {
          proxy.cutAfter(way, 1 + Math.floor(part * (way === 'up' ? 310_000 : 1500)));
          const put = await storage.put(key, bodyOf(plain)).then(
            () => 'stored',
            (error: unknown) => (isFailure(error) ? error.kind : error),
          );
          proxy.cutAfter(way, Infinity);
          const found = await storage.get(key).then(
            async (stream) => (await bytes(stream)).equals(plain),
            (error: unknown) => (isFailure(error) ? error.kind : error),
          );
          expect([put, found]).toSatisfy((pair: unknown) =>
            ['stored,true', 'unavailable,true', 'unavailable,missing'].includes(String(pair)),
          );
          const again = await storage.put(key, bodyOf(plain)).catch((error: unknown) => error);
          expect(again === undefined || isFailure(again, 'conflict')).toBe(true);
          expect((await bytes(await storage.get(key))).equals(plain)).toBe(true);
          await storage.sweep('', new Date(Date.now() + 60_000));
        });
      }),
      { numRuns: 20 },
    );
    await withStorage(async (storage) => {
      expect(await all(storage.list(''))).toHaveLength(round);
      expect(await storage.folders(`a/${round}/`)).toEqual(['b']);
    });
  });

  test('in the middle of a read, it goes on behind the last byte', async () => {
    const plain = noise(4 * 1024 * 1024);
    await withStorage(async (storage) => {
      await storage.put('a', bodyOf(plain));
      const before = proxy.connections;

      proxy.cutAfter('down', 2_000_000);
      const read = await bytes(await storage.get('a'));

      expect(read.equals(plain)).toBe(true);
      expect(proxy.connections).toBe(before + 1);
    });
  });

  test('between two calls, the next one makes it anew, once for all that ask at the same time', async () => {
    await withStorage(async (storage) => {
      await storage.put('a', bodyOf('1'));
      const before = proxy.connections;

      proxy.cut();
      const answers = await Promise.all([storage.folders(''), storage.freeBytes(), text(await storage.get('a'))]);

      expect(answers).toEqual([['a'], expect.any(Number), '1']);
      expect(proxy.connections).toBe(before + 1);
    });
  });

  test('and can not be made anew, every call is unavailable and none says missing', async () => {
    await withStorage(async (storage) => {
      proxy.fault = 'refuse';
      proxy.cut();

      for (const call of [
        async () => await storage.get('a'),
        async () => await storage.put('a', bodyOf('1')),
        async () => await all(storage.list('')),
        async () => await storage.folders(''),
        async () => {
          await storage.remove('a');
        },
        async () => await storage.freeBytes(),
        async () => await storage.clock(),
        async () => await storage.mayPut('a/'),
      ]) {
        await expect(call()).rejects.toMatchObject({ kind: 'unavailable' });
      }
    });
  });

  test('because the server says nothing any more, calls end in time', async () => {
    await withStorage(async (storage) => {
      proxy.fault = 'stall';
      const began = performance.now();
      await expect(storage.put('a', bodyOf(noise(500_000)))).rejects.toMatchObject({ kind: 'unavailable' });
      expect(performance.now() - began).toBeLessThan(5000);
      proxy.fault = 'none';

      await storage.put('b', bodyOf('1'));
      expect(await storage.folders('')).toEqual(['b']);
    }, 500);
  });
});

describe('what the server says', () => {
  test('a right that is missing is refused and never "missing"', async () => {
    await withStorage(async (storage) => {
      await storage.put('a/b', bodyOf('1'));
      await chmod(join(site.path, 'a'), 0o000);

      await expect(storage.get('a/b')).rejects.toMatchObject({ kind: 'refused' });
      await expect(storage.put('a/c', bodyOf('1'))).rejects.toMatchObject({ kind: 'refused' });
      await expect(all(storage.list(''))).rejects.toMatchObject({ kind: 'refused' });
      expect([await storage.mayPut('a/'), await storage.mayPut('new/')]).toEqual([false, true]);
      await chmod(join(site.path, 'a'), 0o750);
      expect(await storage.folders('')).toEqual(['a/']);
    });
  });

  test.skipIf(!canMount)('a full disk is unavailable, is told as that, and a removal helps', async () => {
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0777', 'tmpfs', site.path]);
    try {
      await withStorage(async (storage) => {
        await storage.put('first', bodyOf(noise(2_000_000)));

        await expect(storage.put('a/second', bodyOf(noise(3_000_000)))).rejects.toMatchObject({
          kind: 'unavailable',
          message: expect.stringContaining('the disk is full'),
        });
        expect((await all(storage.list(''))).map(({ key }) => key)).toEqual(['first']);
        await storage.remove('first');
        await storage.put('a/second', bodyOf(noise(3_000_000)));

        await execa('umount', ['--lazy', site.path]);
        await expect(storage.get('a/third')).rejects.toMatchObject({
          kind: 'unavailable',
          message: expect.stringContaining('no longer the file system that was opened'),
        });
      });
    } finally {
      await execa('umount', ['--lazy', site.path], { reject: false });
    }
  });

  test('links are refused and not passed over, be it that they lead in a circle', async () => {
    await symlink('loop', join(site.path, 'loop'));
    await withStorage(async (storage) => {
      await expect(storage.get('loop')).rejects.toMatchObject({ kind: 'refused' });
      await expect(all(storage.list(''))).rejects.toMatchObject({ kind: 'refused' });
    });
  });

  test('objects are 0640, folders 2750, shared ones 2770', async () => {
    await withStorage(async (storage) => {
      await storage.put('a/b', bodyOf('1'));
      await storage.put('shared/b', bodyOf('1'));
    });

    const mode = async (path: string) => ((await stat(join(site.path, path))).mode & 0o7777).toString(8);
    expect([await mode('a'), await mode('a/b'), await mode('shared')]).toEqual(['2750', '640', '2770']);
  });

  test('names that are no part of keys are not listed, and a sweep takes old temporary files only', async () => {
    await mkdir(join(site.path, '.snapshot'));
    await writeFile(join(site.path, '.young.tmp'), '');
    await withStorage(async (storage) => {
      await storage.put('a', bodyOf('1'));

      expect((await all(storage.list(''))).map(({ key }) => key)).toEqual(['a']);
      expect(await storage.sweep('', new Date(Date.now() - 60_000))).toBe(0);
      expect(await storage.sweep('', new Date(Date.now() + 60_000))).toBe(1);
    });
  });

  test('a server whose rename overwrites is refused before anything is stored', async () => {
    const host = newKey();
    const bad = await startOverwritingSftp(host.private);
    const [type = '', base64 = ''] = host.public.split(' ');
    const access = { ...server.access(), hostKeys: [{ type, base64 }] };
    try {
      const storage = await site.open({ port: bad.port, access });

      await expect(storage.put('a', bodyOf('1'))).rejects.toMatchObject({
        kind: 'refused',
        message: expect.stringContaining('its rename overwrites'),
      });

      expect(await readdir(site.path)).toEqual([]);
      await storage.close();
    } finally {
      await bad.stop();
    }
  });

  test('a server that can not sync is told as a fault', async () => {
    const weak = await startSshd({ denied: 'fsync' });
    const weakSite = await sftpSite(weak);
    try {
      const storage = await openSftp(weak.destination(weakSite.path), {
        isShared: () => false,
        access: weak.access(),
        privateFolder: weakSite.path,
      });
      expect(await storage.remarks()).toEqual([
        { is: 'fault', text: expect.stringContaining('fsync@openssh.com'), hint: expect.any(String) },
      ]);
      await storage.close();
    } finally {
      await weakSite.destroy();
      await weak.stop();
    }
  });
});
