import { createCRC32 } from 'hash-wasm';
import type { Stats } from 'node:fs';
import { lstat, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../core/failure.ts';
import { cannotRead } from './walk.ts';

/** Castagnoli's polynomial, reversed. */
const crc32c = 0x82f63b78;
/** What PostgreSQL writes at once; its checksum is the last of it, at a place that differs from version to version. */
const writtenBytes = 512;
const attempts = 20;

/**
 * Reads the control file of a running server as a whole: a read that meets a write is torn, which its checksum tells.
 *
 * Source: update_controlfile and get_controlfile in PostgreSQL's controldata_utils.c, which tries again for the same reason.
 */
export async function readControlFile(path: string): Promise<{ readonly contents: Buffer; readonly stats: Stats }> {
  try {
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const contents = await readFile(path);
      if (await isWhole(contents)) return { contents, stats: await lstat(path) };
      await sleep(20);
    }
  } catch (error) {
    throw cannotRead(path, error);
  }
  throw new Failure('postgres', `${path} has a wrong checksum: a cluster with it does not start`, {
    hint: 'Stop nothing. Look at the disk (dmesg), and at what pg_controldata says of it.',
  });
}

async function isWhole(contents: Buffer): Promise<boolean> {
  const crc = await createCRC32(crc32c);
  for (let at = 64; at + 4 <= Math.min(writtenBytes, contents.byteLength); at += 4) {
    crc.init();
    crc.update(contents.subarray(0, at));
    if (Number.parseInt(crc.digest('hex'), 16) === contents.readUInt32LE(at)) return true;
  }
  return false;
}
