import { lstat, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { errorCode, namesIn } from './files.ts';
import { run } from './process.ts';

/** As far as it matters here: the rest of a restore's state is its own. */
const restoreSchema = z.looseObject({ stage: z.string(), oldKept: z.boolean() });

/**
 * Removes a unit's home, but for what nobody could make again: WAL that the repository refused, and the records by which the
 * old contents that a restore set aside can be put back. Gives back what stays and why, one sentence each. May be repeated.
 *
 * What lies in a folder that another user can write is removed as that user: root follows no path in it.
 */
export async function removeHome(home: string, kept: readonly string[]): Promise<readonly string[]> {
  const stays: string[] = [];
  for (const name of await namesIn(home)) {
    const path = join(home, name);
    if (kept.includes(name)) {
      stays.push(`${path} stays: a restore of Landscape's files set old ones aside there`);
      continue;
    }
    const found = await lstat(path);
    if (found.isDirectory() && found.uid !== 0) stays.push(...(await removeAsOwner(path, found.uid, found.gid)));
    else await rm(path, { recursive: true, force: true });
  }
  if (stays.length === 0) await removeEmpty(home);
  return stays;
}

const removal = `cd -- "$0" && find . -mindepth 1 -maxdepth 1 ! -name rejected -exec rm -rf -- {} + && { rmdir rejected 2>/dev/null || :; }`;

async function removeAsOwner(path: string, uid: number, gid: number): Promise<readonly string[]> {
  const become = ['--reuid', String(uid), '--regid', String(gid), '--clear-groups', '--'];
  // 1: there is none.
  const { stdout } = await run('setpriv', [...become, 'sh', '-c', 'cd -- "$0" && cat restore/state.json', path], {
    answers: [1],
  });
  const restore = parseRestore(stdout);
  if (restore === 'unreadable' || restore?.oldKept === true || isUnderWay(restore?.stage)) {
    return [`${path} stays: a restore set old contents aside, and it says where`];
  }
  await run('setpriv', [...become, 'sh', '-c', removal, path]);
  return (await removeEmpty(path)) ? [] : [`${path}/rejected stays: WAL that the repository refused lies in it`];
}

function parseRestore(text: string): z.infer<typeof restoreSchema> | 'unreadable' | undefined {
  if (text === '') return undefined;
  try {
    return restoreSchema.parse(JSON.parse(text));
  } catch {
    return 'unreadable';
  }
}

function isUnderWay(stage: string | undefined): boolean {
  return stage !== undefined && stage !== 'done' && stage !== 'abandoned';
}

/** Removes a directory that is empty; gives back whether it is gone. */
export async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return true;
    if (code === 'ENOTEMPTY') return false;
    throw error;
  }
}
