import { execa } from 'execa';
import { load } from 'js-yaml';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { access, chmod, mkdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPromise } from 'yauzl';
import { packCharm } from '../../src/packaging/pack.ts';
import { findCharmFaults, type CharmEntry } from './charm-rules.ts';
import { makeOtherProject } from './other-project.ts';
import { readCharm } from './read-charm.ts';

const root = join(import.meta.dirname, '..', '..');
// On the file system of the node modules, so that the second project takes none of its room.
const place = join(root, 'dist', `pack-test-${process.pid}`);
/** The one whose Node is installed here. */
const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

let packed: string;
let entries: readonly CharmEntry[];

beforeAll(async () => {
  await mkdir(join(place, 'first'), { recursive: true });
  packed = await packCharm(root, architecture, join(place, 'first'));
  entries = await readCharm(packed);
});

afterAll(async () => {
  await rm(place, { recursive: true, force: true });
});

async function digest(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

test('the packed charm keeps the rules of Juju and charmcraft', () => {
  expect(findCharmFaults(entries)).toEqual([]);
});

test('it holds what it needs and nothing of the sources', () => {
  const names = entries.map(({ name }) => name);

  expect(names).toEqual([...names].sort());
  expect(names).toEqual(
    expect.arrayContaining([
      'LICENSE',
      'README.md',
      'actions.yaml',
      'config.yaml',
      'dispatch',
      'icon.svg',
      'manifest.yaml',
      'metadata.yaml',
      'runtime/THIRD-PARTY.txt',
      'runtime/bin/node',
      'runtime/lib/package.json',
      'version',
    ]),
  );
  expect(names.filter((name) => name.endsWith('.ts') || name.includes('node_modules'))).toEqual([]);
});

test('exactly what is executed may be executed', () => {
  const programs = entries.filter(({ mode }) => (mode & 0o111) !== 0).map(({ name }) => name);
  const fronts = entries.map(({ name }) => name).filter((name) => name.startsWith('runtime/bin/'));

  expect(programs).toEqual(['dispatch', ...fronts]);
  expect(entries.every(({ mode }) => mode === 0o100755 || mode === 0o100644)).toBe(true);
});

test('its manifest has the releases of the principals, and so has charmcraft.yaml', async () => {
  const manifest = load(entries.find(({ name }) => name === 'manifest.yaml')?.text ?? '');
  const { platforms } = load(await readFile(join(root, 'charmcraft.yaml'), 'utf8')) as { platforms: object };

  expect(manifest).toMatchObject({
    bases: ['22.04', '24.04', '26.04'].map((channel) => ({ name: 'ubuntu', channel, architectures: [architecture] })),
  });
  expect(Object.keys(platforms)).toEqual(
    ['22.04', '24.04', '26.04'].flatMap((channel) => [`ubuntu@${channel}:amd64`, `ubuntu@${channel}:arm64`]),
  );
});

test('its name tells the charm, the releases and the architecture', () => {
  expect(basename(packed)).toBe(`landscape-backup_ubuntu-22.04-24.04-26.04-${architecture}.charm`);
});

test('the licences of all that is not ours are in it', () => {
  const text = entries.find(({ name }) => name === 'runtime/THIRD-PARTY.txt')?.text ?? '';

  for (const name of ['Node', 'commander', 'execa', 'pg', 'zod']) {
    expect(text).toMatch(new RegExp(`^==== ${name} \\d+\\.\\d+\\.\\d+, [\\w.-]+\\n\\n.*(copyright|licen[cs]e)`, 'ims'));
  }
});

test('the Node in it is whole: it runs', async () => {
  const node = join(place, 'node');
  const zip = await openPromise(packed, { lazyEntries: true, autoClose: false });
  for await (const entry of zip.eachEntry()) {
    if (entry.fileName !== 'runtime/bin/node') continue;
    await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(node));
  }
  zip.close();
  await chmod(node, 0o755);

  expect((await execa(node, ['--version'])).stdout).toBe(process.version);
});

test('another directory, umask, time zone and checkout give the same bytes', async () => {
  const other = join(place, 'deeper', 'project');
  await makeOtherProject(other);

  const script = 'umask 077; exec "$@"';
  const pack = [process.execPath, join(other, 'src/packaging/pack.ts'), '--architecture', architecture];
  await execa('sh', ['-c', script, 'sh', ...pack], { cwd: '/', env: { TZ: 'Asia/Tokyo', LC_ALL: 'C' } });

  expect(await digest(join(other, 'dist', basename(packed)))).toBe(await digest(packed));
});

test('what was packed lies unpacked where charmcraft takes it from', async () => {
  const { parts } = load(await readFile(join(root, 'charmcraft.yaml'), 'utf8')) as {
    parts: { charm: { 'override-build': string } };
  };

  expect(parts.charm['override-build']).toContain('$CRAFT_PROJECT_DIR/dist/charm/$CRAFT_ARCH_BUILD_FOR/.');
  await access(join(place, 'first', 'charm', architecture, 'dispatch'));
});
