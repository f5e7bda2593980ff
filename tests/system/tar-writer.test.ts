import { execa } from 'execa';
import { appendFile, chmod, mkdir, mkdtemp, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readTree } from '../../src/system/file-tree.ts';
import { readTar } from '../../src/system/tar-stream.ts';
import { writeTar } from '../../src/system/tar-writer.ts';

const long = `${'directory-with-a-long-name/'.repeat(6)}Łandscape – ${'x'.repeat(90)}.conf`;
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lb-tar-'));
  await mkdir(join(root, 'etc', long, '..'), { recursive: true });
  await writeFile(join(root, 'etc', long), 'long\n');
  await writeFile(join(root, 'etc', 'short.conf'), 'a'.repeat(1000));
  await chmod(join(root, 'etc', 'short.conf'), 0o640);
  await utimes(join(root, 'etc', 'short.conf'), 1_700_000_000, 1_700_000_000);
  await writeFile(join(root, 'etc', 'empty'), '');
  await symlink(`/somewhere/${'y'.repeat(150)}`, join(root, 'etc', 'link'));
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function look() {
  return await readTree({ root, paths: ['/etc'], isWanted: () => true });
}

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('a tar of ours', () => {
  test('is read by tar with every name, mode, time and link', async () => {
    const tar = await bytesOf(writeTar(root, (await look()).entries));
    const out = join(root, 'out');
    await mkdir(out);
    await execa('tar', ['-x', '-p', '-C', out], { input: tar });

    await execa('diff', ['-r', '--no-dereference', join(root, 'etc'), join(out, 'etc')]);
    const { stdout } = await execa('stat', ['--format=%a %Y', join(out, 'etc', 'short.conf')]);
    expect(stdout).toBe('640 1700000000');
  });

  test('is read by our own reader with the same names and contents', async () => {
    const { entries } = await look();
    const found: { path: string; kind: string; target: string; text: string }[] = [];
    const body = async function* () {
      const whole = await bytesOf(writeTar(root, entries));
      for (let at = 0; at < whole.length; at += 700) yield whole.subarray(at, at + 700);
    };
    await readTar(body(), {
      begin: async ({ path, kind, target }) => void found.push({ path: `/${path}`, kind, target, text: '' }),
      data: async (bytes) => {
        const last = found.at(-1);
        if (last !== undefined) last.text += bytes.toString();
      },
      end: async () => undefined,
    });

    expect(found.map(({ path, kind, target }) => ({ path, kind, target }))).toEqual(
      entries.map(({ path, kind, target }) => ({ path, kind, target: target ?? '' })),
    );
    expect(found.find(({ path }) => path === `/etc/${long}`)?.text).toBe('long\n');
  });

  test('is the same bytes for the same tree', async () => {
    const { entries } = await look();

    expect(await bytesOf(writeTar(root, entries))).toEqual(await bytesOf(writeTar(root, entries)));
  });

  test('holds a file that has grown as it was when it was looked at', async () => {
    const { entries } = await look();
    const before = await bytesOf(writeTar(root, entries));
    await appendFile(join(root, 'etc', 'short.conf'), 'more');

    expect(await bytesOf(writeTar(root, entries))).toEqual(before);
  });

  test.each([
    ['became shorter', async (path: string) => await truncate(path, 10)],
    ['has other contents', async (path: string) => await writeFile(path, 'b'.repeat(1000))],
    ['is gone', async (path: string) => await rm(path)],
  ])('is none when a file %s', async (_how, change) => {
    const { entries } = await look();
    await change(join(root, 'etc', 'short.conf'));

    await expect(bytesOf(writeTar(root, entries))).rejects.toMatchObject({ kind: 'busy' });
  });
});
