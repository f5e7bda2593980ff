import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ZipFile } from 'yazl';
import { parseCharm, readCharmFiles } from './simulator/charm.ts';
import { unpackCharm } from './simulator/unpack-charm.ts';
import { behaviourOf } from './simulator/versions.ts';

let root = '';

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lb-archive-'));
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

/** Packs entries, each with its mode and text, and unpacks them as Juju does; gives back the directory. */
async function unpack(entries: Readonly<Record<string, readonly [number, string]>>): Promise<string> {
  const zip = new ZipFile();
  for (const [name, [mode, text]] of Object.entries(entries)) zip.addBuffer(Buffer.from(text), name, { mode });
  zip.end();
  const file = join(root, 'a.charm');
  await finished(zip.outputStream.pipe(createWriteStream(file)));
  await unpackCharm(file, join(root, 'charm'));
  return join(root, 'charm');
}

const metadata = { 'metadata.yaml': [0o100644, 'name: a'] } as const;

test('modes are those of the zip; only hooks are made executable', async () => {
  const directory = await unpack({
    ...metadata,
    dispatch: [0o100644, '#!/bin/sh\n'],
    'bin/run': [0o100755, '#!/bin/sh\n'],
    'hooks/install': [0o100644, '#!/bin/sh\n'],
    'hooks/helper': [0o100644, ''],
    link: [0o120777, 'bin/run'],
  });
  const isExecutable = async (name: string) => ((await stat(join(directory, name))).mode & 0o100) !== 0;

  expect(await isExecutable('dispatch')).toBe(false);
  expect(await isExecutable('bin/run')).toBe(true);
  expect(await isExecutable('hooks/install')).toBe(true);
  expect(await isExecutable('hooks/helper')).toBe(false);
  expect(await readlink(join(directory, 'link'))).toBe('bin/run');
  expect(await readFile(join(directory, 'metadata.yaml'), 'utf8')).toBe('name: a');
});

describe('is refused', () => {
  test.each<[string, Readonly<Record<string, readonly [number, string]>>, string]>([
    [
      'a charm without metadata.yaml by its exact name',
      { 'Metadata.yaml': [0o100644, ''] },
      '"metadata.yaml" not found',
    ],
    ['metadata.yaml below a folder', { 'a/metadata.yaml': [0o100644, ''] }, '"metadata.yaml" not found'],
    ['a link that leads out', { ...metadata, 'a/link': [0o120777, '../../etc'] }, 'links out of charm'],
    ['a link to an absolute path', { ...metadata, link: [0o120777, '/etc'] }, 'is absolute'],
    ['a pipe', { ...metadata, pipe: [0o010644, ''] }, 'unknown type'],
  ])('%s', async (_what, entries, said) => {
    await expect(unpack(entries)).rejects.toThrow(said);
  });
});

test.each(['2.9.49', '3.6.27', '4.0.15'])('our own charm is one that Juju %s takes', async (version) => {
  const charm = parseCharm(await readCharmFiles(join(import.meta.dirname, '..', '..')), behaviourOf(version));

  expect([charm.name, charm.subordinate]).toEqual(['landscape-backup', true]);
  expect([...charm.endpoints.keys()].sort()).toEqual(['landscape', 'peers', 'postgresql', 's3-parameters']);
});
