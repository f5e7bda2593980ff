import { appendFile, lstat, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManifestWriter } from '../../../src/postgres/low-level/manifest-writer.ts';
import { BackupTar, gathered, type MemberSource } from '../../../src/postgres/low-level/tar.ts';
import { walkForBackup } from '../../../src/postgres/low-level/walk.ts';
import { ManifestReader } from '../../../src/postgres/manifest-reader.ts';
import type { TarMember } from '../../../src/system/tar-header.ts';
import { readTar } from '../../../src/system/tar-stream.ts';

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lb-tar-'));
});

afterAll(async () => {
  await rm(root, { recursive: true });
});

async function source(name: string, bytes: Buffer): Promise<MemberSource> {
  const file = join(root, name);
  await writeFile(file, bytes);
  return { file, name, listed: name, stats: await lstat(file), relationNumber: undefined };
}

interface Found {
  readonly member: TarMember;
  readonly bytes: Buffer;
}

/** Makes a tar of one file, with something happening after so many of its stretches, and reads it back with its row. */
async function backedUp(from: MemberSource, after: number, happens: () => Promise<void>) {
  const manifest = new ManifestWriter(1, '1');
  const tar = await BackupTar.begin({ manifest, pages: undefined, guard: () => undefined });
  let sent: boolean | undefined;
  const body = async function* () {
    const file = tar.file(from);
    for (let stretches = 0; ; stretches += 1) {
      if (stretches === after) await happens();
      const { done, value } = await file.next();
      if (done === true) {
        sent = value;
        break;
      }
      yield Buffer.from(value);
    }
    yield tar.end();
  };
  const found: Found[] = [];
  let open: Buffer[] = [];
  await readTar(body(), {
    begin: async (member) => void found.push({ member, bytes: Buffer.alloc(0) }),
    data: async (bytes) => void open.push(bytes),
    end: async () => {
      const last = found.pop();
      if (last !== undefined) found.push({ member: last.member, bytes: Buffer.concat(open) });
      open = [];
    },
  });
  const rows = new ManifestReader(
    (async function* () {
      yield* manifest.finish({ timeline: 1, startLsn: 1n, endLsn: 2n });
    })(),
  );
  const row = await rows.peek();
  if (row !== undefined) await rows.take(row.path);
  await rows.finish();
  return { sent, found, row };
}

const large = Buffer.alloc(3_000_001, 'a');

describe('a file in the tar of a backup', () => {
  test('that is cut while it is read is filled up with zeros', async () => {
    const from = await source('cut', large);
    const { sent, found, row } = await backedUp(from, 2, async () => await truncate(from.file, 1_500_000));

    const expected = Buffer.from(large);
    expected.fill(0, 1_500_000);
    expect(sent).toBe(true);
    expect(found).toMatchObject([{ member: { path: 'cut', sizeBytes: large.length } }]);
    expect(found[0]?.bytes.equals(expected)).toBe(true);
    expect(row).toMatchObject({ path: 'cut', sizeBytes: large.length });
  });

  test('that is cut to nothing before it is read is as many zeros', async () => {
    const from = await source('emptied', large);
    const { found } = await backedUp(from, 0, async () => await truncate(from.file, 0));

    expect(found[0]?.bytes.equals(Buffer.alloc(large.length))).toBe(true);
  });

  test('that grows while it is read is as long as it was', async () => {
    const from = await source('grown', large);
    const { found, row } = await backedUp(from, 1, async () => await appendFile(from.file, 'more'));

    expect(found[0]?.bytes.equals(large)).toBe(true);
    expect(row?.sizeBytes).toBe(large.length);
  });

  test('that vanished is not there, and in no manifest', async () => {
    const from = await source('gone', large);
    const { sent, found, row } = await backedUp(from, 0, async () => await rm(from.file));

    expect({ sent, found, row }).toEqual({ sent: false, found: [], row: undefined });
  });

  test('can have a longer name than a header of a tar holds', async () => {
    const name = 'long'.repeat(40);
    const { found } = await backedUp(await source(name, Buffer.from('x')), -1, async () => undefined);

    expect(found).toMatchObject([{ member: { path: name }, bytes: Buffer.from('x') }]);
  });
});

test('directories and files that vanish while they are looked for are passed over', async () => {
  const folder = join(root, 'walked');
  for (const name of ['a', 'b']) {
    await mkdir(join(folder, name), { recursive: true });
    await writeFile(join(folder, name, 'file'), name);
  }
  const nothing: ReadonlySet<string> = new Set();
  const warnings: string[] = [];
  const found: string[] = [];
  const walk = {
    root: folder,
    from: '',
    hollow: nothing,
    omitted: nothing,
    warn: (text: string) => warnings.push(text),
  };
  for await (const { path, kind } of walkForBackup(walk)) {
    found.push(path);
    if (kind === 'directory') await rm(join(folder, path), { recursive: true });
  }

  expect(found.sort()).toEqual(['a', 'b']);
  expect(warnings).toEqual([]);
});

test('a name that is not UTF-8 is told', async () => {
  const folder = join(root, 'names');
  await mkdir(folder);
  await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff])]), 'x');
  const nothing: ReadonlySet<string> = new Set();
  const warnings: string[] = [];
  const walk = {
    root: folder,
    from: '',
    hollow: nothing,
    omitted: nothing,
    warn: (text: string) => warnings.push(text),
  };
  for await (const found of walkForBackup(walk)) throw new Error(`found ${found.path}`);

  expect(warnings).toEqual([expect.stringContaining('its name is not UTF-8')]);
});

test('small stretches are joined in their order, large ones pass', async () => {
  const stretches = [10, 300_000, 5, 200_000, 100_000, 7, 1_000_000, 1].map((length, index) =>
    Buffer.alloc(length, index),
  );
  const joined: Uint8Array[] = [];
  const body = async function* () {
    yield* stretches;
  };
  for await (const stretch of gathered(body())) {
    joined.push(stretch);
  }

  expect(Buffer.concat(joined).equals(Buffer.concat(stretches))).toBe(true);
  expect(joined.length).toBeLessThan(stretches.length);
});

test('a large stretch is what it was while any number of small files is gathered behind it', async () => {
  const tar = await BackupTar.begin({ manifest: undefined, pages: undefined, guard: () => undefined });
  const lengths = [460_000, ...Array.from({ length: 12 }, () => 9000), 1_500_000, 300_000, 9000, 2_200_000];
  const files = lengths.map((length, index) => Buffer.alloc(length, index + 1));
  const sources: MemberSource[] = [];
  for (const [index, bytes] of files.entries()) sources.push(await source(`gathered-${index}`, bytes));
  const body = async function* () {
    for (const from of sources) yield* tar.file(from);
  };

  // As a compressor does: it works on one while it asks for the next.
  const found: Buffer[] = [];
  let inUse: Uint8Array = new Uint8Array();
  for await (const stretch of gathered(body())) {
    found.push(Buffer.from(inUse));
    inUse = stretch;
  }
  found.push(Buffer.from(inUse));

  const whole = Buffer.concat(found);
  for (const [index, bytes] of files.entries()) expect(whole.includes(bytes), `file ${index}`).toBe(true);
});
