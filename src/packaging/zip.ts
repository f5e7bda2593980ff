import { createWriteStream } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';

/**
 * Packs a folder as a zip whose bytes depend on names and contents only: sorted, with modes from `isProgram`, and without
 * the time, owner and umask of whoever packs. The name appears when the file is whole.
 */
export async function zipFolder(folder: string, path: string, isProgram: (name: string) => boolean): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const zip = new ZipFile();
  const names = files.map((file) => relative(folder, file)).sort();
  for (const name of names) {
    zip.addFile(join(folder, name), name, {
      mode: isProgram(name) ? 0o100755 : 0o100644,
      // Before 1980, where the format's time begins: it becomes that instant in every time zone.
      mtime: new Date(0),
      forceDosTimestamp: true,
    });
  }
  zip.end();
  const making = `${path}.${process.pid}`;
  const failed = new Promise<never>((_resolve, reject) => zip.on('error', reject));
  try {
    await Promise.race([pipeline(zip.outputStream, createWriteStream(making)), failed]);
    await rename(making, path);
  } finally {
    await rm(making, { force: true });
  }
}
