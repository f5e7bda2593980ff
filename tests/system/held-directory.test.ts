import { chmod, chown, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readTree } from '../../src/system/file-tree.ts';
import { holdDirectory } from '../../src/system/held-directory.ts';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lb-held-'));
  await mkdir(join(root, 'var/lib/landscape'), { recursive: true });
  await mkdir(join(root, 'etc/secret'), { recursive: true });
  await writeFile(join(root, 'etc/secret/shadow'), 'secret\n');
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function readThrough(path: string, name: string): Promise<string> {
  const held = await holdDirectory(root, path);
  try {
    return await readFile(held.at(name), 'utf8');
  } finally {
    await held.close();
  }
}

describe('a directory that is held', () => {
  test('is reached through links of root, which stay below the root', async () => {
    await symlink('/etc/secret', join(root, 'var/absolute'));
    await symlink('../etc/./secret', join(root, 'var/relative'));
    await symlink('../../../../../etc', join(root, 'var/above'));

    expect(await readThrough('/var/absolute', 'shadow')).toBe('secret\n');
    expect(await readThrough('/var/relative', 'shadow')).toBe('secret\n');
    expect(await readThrough('/var/above/secret', 'shadow')).toBe('secret\n');
  });

  test.skipIf(process.geteuid?.() !== 0)(
    'is never reached through a link that another user could have made',
    async () => {
      await chown(join(root, 'var/lib/landscape'), 12_345, 12_345);
      await symlink('/etc/secret', join(root, 'var/lib/landscape/blobs'));

      await expect(readThrough('/var/lib/landscape/blobs', 'shadow')).rejects.toMatchObject({ kind: 'refused' });
      const tree = await readTree({ root, paths: ['/var/lib/landscape/blobs'], isWanted: () => true });
      expect(tree.entries.map(({ path, kind }) => [path, kind])).toEqual([['/var/lib/landscape/blobs', 'link']]);
    },
  );

  test.skipIf(process.geteuid?.() !== 0)('nor through one in a directory that a group can write', async () => {
    await chmod(join(root, 'var/lib/landscape'), 0o775);
    await symlink('/etc/secret', join(root, 'var/lib/landscape/blobs'));

    await expect(readThrough('/var/lib/landscape/blobs', 'shadow')).rejects.toMatchObject({ kind: 'refused' });
  });

  test('ends where links go round', async () => {
    await symlink('/var/b', join(root, 'var/a'));
    await symlink('/var/a', join(root, 'var/b'));

    await expect(holdDirectory(root, '/var/a/c')).rejects.toMatchObject({ kind: 'refused' });
  });

  test('says what is not there as the system does', async () => {
    await expect(holdDirectory(root, '/var/nowhere/else')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
