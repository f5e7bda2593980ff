import { createCRC32 } from 'hash-wasm';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readControlFile } from '../../../src/postgres/low-level/control-file.ts';

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lb-control-'));
});

afterAll(async () => {
  await rm(root, { recursive: true });
});

/** A control file as PostgreSQL writes it: its checksum behind what it covers, zeros to the end of the page. */
async function controlFile(covered: number, content: number): Promise<Buffer> {
  const bytes = Buffer.alloc(8192);
  bytes.fill(content, 0, covered);
  const crc = await createCRC32(0x82f63b78);
  bytes.writeUInt32LE(Number.parseInt(crc.init().update(bytes.subarray(0, covered)).digest('hex'), 16), covered);
  return bytes;
}

test.each([240, 288, 296])('a control file whose checksum stands at %d is read as it is', async (covered) => {
  const path = join(root, `whole-${covered}`);
  const whole = await controlFile(covered, 7);
  await writeFile(path, whole);

  expect((await readControlFile(path)).contents.equals(whole)).toBe(true);
});

test('one that was read while it was written is read again', async () => {
  const path = join(root, 'torn');
  const [before, after] = [await controlFile(288, 1), await controlFile(288, 2)];
  await writeFile(path, Buffer.concat([after.subarray(0, 100), before.subarray(100)]));
  setTimeout(() => void writeFile(path, after), 60);

  expect((await readControlFile(path)).contents.equals(after)).toBe(true);
});

test('one that stays wrong is none, and that is told', async () => {
  const path = join(root, 'wrong');
  const wrong = await controlFile(288, 1);
  wrong[5] = 9;
  await writeFile(path, wrong);

  await expect(readControlFile(path)).rejects.toMatchObject({
    kind: 'postgres',
    message: expect.stringContaining('has a wrong checksum'),
  });
});
