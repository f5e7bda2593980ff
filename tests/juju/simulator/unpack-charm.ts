import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { openPromise, type Entry } from 'yauzl';
import { checkLink } from './deploy-files.ts';
import { Refused } from './refused.ts';

const kinds = { file: 0o100000, folder: 0o040000, link: 0o120000 };
const hooks =
  /^hooks\/(install|start|stop|remove|config-changed|upgrade-charm|update-status|leader-elected|[^/]+-relation-[a-z]+)$/;

/**
 * Unpacks a `.charm` as Juju does: names count exactly, modes are those of the zip, and only files directly below `hooks` are
 * made executable. What Juju refuses is refused.
 */
export async function unpackCharm(archive: string, directory: string): Promise<void> {
  const zip = await openPromise(archive, { strictFileNames: true, lazyEntries: true, autoClose: false });
  let isCharm = false;
  try {
    for await (const entry of zip.eachEntry()) {
      isCharm ||= entry.fileName === 'metadata.yaml';
      const content = entry.fileName.endsWith('/')
        ? Buffer.alloc(0)
        : await buffer(await zip.openReadStreamPromise(entry));
      await unpackOne(entry, content, directory);
    }
  } finally {
    zip.close();
  }
  if (!isCharm) throw new Refused(`archive file "metadata.yaml" not found in ${archive}`);
}

async function unpackOne(entry: Entry, content: Buffer, directory: string): Promise<void> {
  const path = normalize(entry.fileName);
  const target = join(directory, path);
  const mode = entry.externalFileAttributes >>> 16;
  await mkdir(dirname(target), { recursive: true });
  switch (mode & 0o170000) {
    case kinds.folder:
      await mkdir(target, { recursive: true });
      break;
    case kinds.link:
      checkLink(path, content.toString());
      await symlink(content.toString(), target);
      break;
    case kinds.file:
      await writeFile(target, content);
      await chmod(target, (mode & 0o777) | (hooks.test(path) ? 0o100 : 0));
      break;
    default:
      throw new Refused(`file has unknown type: "${entry.fileName}"`);
  }
}
