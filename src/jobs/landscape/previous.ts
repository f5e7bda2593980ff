import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '../../core/failure.ts';
import { previousSchema, type Previous } from '../../core/landscape-restore.ts';
import { errorCode, readFileBytes, readJson, readText, syncDirectory, writeJson } from '../../system/files.ts';
import { holdDirectory } from '../../system/held-directory.ts';
import { makePrivateFolder } from '../../system/home.ts';
import {
  clearTemporary,
  lookAtPlace,
  placeDirectory,
  placeFile,
  placeLink,
  removePlace,
  type Placed,
  type Placing,
} from '../../system/placing.ts';
import { restoreFolder, type LandscapeContext } from './context.ts';
import type { Work } from './work-list.ts';

const recordName = 'previous.json';

/** How the names of one restore are placed. */
export function placingOf({ machine }: Pick<LandscapeContext, 'machine'>, planId: string): Placing {
  return { root: machine.root, mark: planId };
}

/** What was kept before a restore changed anything; `undefined` when it has not come so far. */
export async function readPrevious(
  context: Pick<LandscapeContext, 'unit'>,
  planId: string,
): Promise<Previous | undefined> {
  return await readJson(join(restoreFolder(context, planId).previous, recordName), previousSchema);
}

/**
 * Keeps what lies under the paths that a restore will change, and under their parents that are not there yet.
 *
 * The record comes last: what it does not name has not been changed, and what it names is never kept again. What can't be
 * placed is refused here, before anything is touched.
 */
export async function keepPrevious(
  context: LandscapeContext,
  planId: string,
  work: readonly Work[],
): Promise<Previous> {
  const folder = restoreFolder(context, planId).previous;
  const before = await readPrevious(context, planId);
  const files: Previous['files'] = [...(before?.files ?? [])];
  const known = new Set(files.map(({ path }) => path));
  if (before !== undefined && work.every(({ path }) => known.has(path))) return before;
  await makePrivateFolder(folder);
  for (const each of work) {
    for (const parent of await missingParents(context, each.path, known)) {
      known.add(parent);
      files.push({ path: parent, was: { kind: 'absent' } });
    }
    if (known.has(each.path)) continue;
    known.add(each.path);
    files.push({ path: each.path, was: await keepOne(context, each, folder, String(files.length)) });
  }
  await syncDirectory(folder);
  const previous: Previous = { format: 1, planId, files };
  await writeJson(join(folder, recordName), previousSchema, previous);
  return previous;
}

/** The text of a file as it was before the restore; `undefined` when there was none. */
export async function previousText(
  context: Pick<LandscapeContext, 'unit'>,
  planId: string,
  path: string,
): Promise<string | undefined> {
  const was = (await readPrevious(context, planId))?.files.find((file) => file.path === path)?.was;
  return was?.kind === 'file' ? await readText(join(restoreFolder(context, planId).previous, was.kept)) : undefined;
}

type Was = Previous['files'][number]['was'];

async function keepOne(context: LandscapeContext, work: Work, folder: string, number: string): Promise<Was> {
  const found = await lookAtPlace(context.machine, work.path, async (bytes) => {
    // A run that was killed before its record may have left a part of it.
    await rm(join(folder, number), { force: true });
    const handle = await open(join(folder, number), 'wx', 0o600);
    try {
      for await (const chunk of bytes) await handle.writeFile(chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
  if (found === 'other') throw cannotPlace(work, 'something else than a file');
  const { placed } = found;
  if (placed.kind !== 'absent' && (placed.kind === 'directory') !== (work.kind === 'directory')) {
    throw cannotPlace(work, placed.kind === 'link' ? 'a link' : `a ${placed.kind}`);
  }
  return placed.kind === 'file' ? { ...placed, kept: number } : placed;
}

function cannotPlace({ path, kind }: Work, found: string): Failure {
  return new Failure('refused', `${path} is ${found} here, and a ${kind} in what is restored: nothing was changed`, {
    hint: `Move it elsewhere, then try again: mv ${path} ${path}.before`,
  });
}

async function missingParents(
  { machine }: LandscapeContext,
  path: string,
  known: ReadonlySet<string>,
): Promise<readonly string[]> {
  const missing: string[] = [];
  for (let parent = dirname(path); parent !== '/' && !known.has(parent); parent = dirname(parent)) {
    try {
      await (await holdDirectory(machine.root, parent)).close();
      break;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      missing.unshift(parent);
    }
  }
  return missing;
}

/** A directory of production that is a link to one here stays a link: what lies in it goes there. */
export async function isLinkToDirectory(
  { machine }: Pick<LandscapeContext, 'machine'>,
  path: string,
): Promise<boolean> {
  const found = await lookAtPlace(machine, path);
  if (found === 'other' || found.placed.kind !== 'link') return false;
  try {
    await (await holdDirectory(machine.root, path)).close();
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}

/**
 * Puts back exactly what was kept, "was not there" included, last placed first. Says which directories stay because others
 * have put something there. May be repeated.
 */
export async function putBackPrevious(context: LandscapeContext, previous: Previous): Promise<readonly string[]> {
  const placing = placingOf(context, previous.planId);
  const folder = restoreFolder(context, previous.planId).previous;
  const kept: string[] = [];
  for (const { path, was } of previous.files.toReversed()) {
    await clearTemporary(placing, path);
    if (was.kind === 'absent') {
      if ((await removePlace(placing, path)) === 'kept') kept.push(path);
    } else if (was.kind === 'file') {
      await placeFile(placing, path, was, readFileBytes(join(folder, was.kept)));
    } else {
      await placeWithoutContents(placing, path, was);
    }
  }
  return kept;
}

async function placeWithoutContents(
  placing: Placing,
  path: string,
  was: Extract<Placed, { kind: 'directory' | 'link' }>,
): Promise<void> {
  await (was.kind === 'link' ? placeLink(placing, path, was) : placeDirectory(placing, path, was));
}

/** Forgets what was kept: the record goes first, so that a run that is killed here has nothing left to put back. */
export async function forgetPrevious(context: Pick<LandscapeContext, 'unit'>, planId: string): Promise<void> {
  const folder = restoreFolder(context, planId).previous;
  const gone = `${folder}.gone`;
  await rm(gone, { recursive: true, force: true });
  try {
    await rename(folder, gone);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  await syncDirectory(dirname(folder));
  await rm(gone, { recursive: true, force: true });
}
