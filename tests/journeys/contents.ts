import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Every file below a folder of the host with the SHA-256 of its bytes, but for those whose path is like `except`. */
export async function contents(folder: string, except = /^$/): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const name of (await readdir(folder, { recursive: true })).filter((each) => !except.test(each)).sort()) {
    const path = join(folder, name);
    if (!(await stat(path)).isFile()) continue;
    lines.push(
      `${createHash('sha256')
        .update(await readFile(path))
        .digest('hex')} ${name}`,
    );
  }
  return lines;
}
