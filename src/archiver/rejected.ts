import { createReadStream } from 'node:fs';
import { copyFile, open, readdir, rename, rm, stat, statfs, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { sealOf } from '../repository/seal.ts';
import { errorCode, randomName, syncDirectory } from '../system/files.ts';
import { makePrivateFolder, type UnitFolder } from '../system/home.ts';

/** How many rejected files are kept: enough to see what happened, few enough to forget about. */
const keepCount = 16;
/** Room that stays free whatever is kept: PostgreSQL may live on the same disk. */
const spareBytes = 1024 ** 3;
const spareShare = 0.1;
const abandonedMs = 60 * 60_000;

/**
 * Keeps the bytes of a WAL file that the repository refused, for a human: the same bytes once, at most 16 files, and only
 * where the disk has room. Gives back where they lie, or why they were not kept. Never fails.
 */
export async function keepRejected(unit: UnitFolder, path: string): Promise<string> {
  try {
    return await keep(unit.rejected, path);
  } catch (error) {
    return `its bytes could not be kept aside (${errorCode(error) ?? String(error)})`;
  }
}

async function keep(folder: string, path: string): Promise<string> {
  await makePrivateFolder(folder);
  const { sha256, length } = await sealOf(createReadStream(path));
  const place = join(folder, `${basename(path)}.${sha256.slice(0, 16)}`);
  const kept = `its bytes are kept in ${place}`;
  const names = await readdir(folder);
  if (names.includes(basename(place))) return kept;
  for (const name of names.filter((each) => each.startsWith('.'))) await sweep(join(folder, name));
  if (names.filter((name) => !name.startsWith('.')).length >= keepCount) {
    return `its bytes are not kept aside: ${folder} holds ${keepCount} files already`;
  }
  const { bavail, blocks, bsize } = await statfs(folder);
  if (bavail * bsize - length < Math.max(spareBytes, blocks * bsize * spareShare)) {
    return `its bytes are not kept aside: the disk of ${folder} has too little room`;
  }
  await copy(path, place, length);
  return kept;
}

/** Removes what a copy that was killed left behind; a young one may be at work: the archiver and PostgreSQL's call copy both. */
async function sweep(temporary: string): Promise<void> {
  const found = await stat(temporary).catch(() => undefined); // Gone by now.
  if (found !== undefined && Math.abs(Date.now() - found.ctimeMs) > abandonedMs) await rm(temporary, { force: true });
}

async function copy(path: string, place: string, length: number): Promise<void> {
  const temporary = join(place, '..', `.${randomName()}.tmp`);
  try {
    await copyFile(path, temporary);
    const handle = await open(temporary, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if ((await stat(temporary)).size !== length) throw new Error('it changed while it was copied');
    await rename(temporary, place);
    await syncDirectory(join(place, '..'));
  } finally {
    await unlink(temporary).catch(() => undefined); // Renamed, or swept by the next one.
  }
}
