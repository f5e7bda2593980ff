import { execa } from 'execa';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { copyRepository } from '../../src/repository/copy.ts';
import { isSharedFolder } from '../../src/repository/layout.ts';
import { createRepository, openRepository } from '../../src/repository/repository.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import { bytes } from '../storage/bytes.ts';
import { expectedOf, fill } from './copy-site.ts';
import { atThree } from './memory-repository.ts';

const open = async (path: string) => await openDirectory(path, { url: `file://${path}`, isShared: isSharedFolder });

async function objectsAt(path: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const storage = await open(path);
  const found = new Map<string, Uint8Array>();
  for await (const { key } of storage.list('')) found.set(key, await bytes(await storage.get(key)));
  return found;
}

test('a copy that is killed at any object can not be opened, or is whole, and the same copy again finishes it', async () => {
  const root = await mkdtemp(join(tmpdir(), 'lb-copy-'));
  try {
    const [from, to] = [join(root, 'from'), join(root, 'to')];
    for (const path of [from, to]) await mkdir(path);
    const { repository: original } = await createRepository(await open(from), atThree);
    await fill(original);
    const expected = expectedOf(await objectsAt(from));
    // Each run goes on with what the killed one before it has left, a few objects further.
    for (const [nth, ms] of [
      [1, 0],
      [3, 1],
      [6, 0],
      [2, 3],
      [9, 2],
      [1, 1],
      [12, 0],
      [8, 1],
    ]) {
      const child = join(import.meta.dirname, 'copy-child.ts');
      const args = [child, from, to, String(nth), String(ms)];
      const { signal, exitCode, stderr } = await execa(process.execPath, args, { reject: false });
      expect(signal ?? exitCode, stderr).toBe(exitCode === 0 ? 0 : 'SIGKILL');
      const now = await objectsAt(to);
      if (now.has('repository.json')) expect([...expected.keys()].filter((key) => !now.has(key))).toEqual([]);
      else await expect(openRepository(await open(to), undefined)).rejects.toMatchObject({ kind: 'missing' });
    }

    const watch = { signal: new AbortController().signal, copied: () => undefined, readBack: () => undefined };
    await copyRepository({ original, copy: await open(to) }, watch);

    expect(expectedOf(await objectsAt(to))).toEqual(expected);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
