import { createHash } from 'node:crypto';
import { fingerprintOf } from '../core/age-key.ts';
import type { Backup, Part } from '../core/backup.ts';
import { isFailure } from '../core/failure.ts';
import { rewrapSchema } from '../core/record.ts';
import { isFor, openFileKey } from './age.ts';
import { generationName, layout, readGeneration } from './layout.ts';
import { asRecorded } from './parts.ts';
import { appendRecord } from './records.ts';
import type { Repository } from './repository.ts';
import { headerAt, putNew, removedUnless, type Rewrapping } from './rewrap.ts';
import { readToEnd } from './seal.ts';
import { forOthers } from './stored-form.ts';

/** The objects of a backup that begin an age file: of an archive the first part, for the others are payload only. */
export function beginnings({ archives, manifest }: Pick<Backup, 'archives' | 'manifest'>): readonly Part[] {
  return [...archives.flatMap(({ parts }) => parts.slice(0, 1)), ...(manifest === null ? [] : [manifest])];
}

/** Tells whether an object of a backup is for others. Fails with `refused` where it is and nothing at hand opens it. */
export async function isForOthers(work: Rewrapping, folder: string, { name }: Part): Promise<boolean> {
  const key = folder + name;
  const header = await headerAt(work.repository, key);
  if (isFor(header, work.recipients)) return false;
  openFileKey(header, work.identities, key);
  return true;
}

/**
 * Makes what begins the age files of a backup anew, where it is for others: the new objects are read back, then a record names
 * them, and from then on they count. Says how many bytes were stored. `backup` is by what it consists of now.
 */
export async function renewBackup(work: Rewrapping, folder: string, backup: Backup, now: Date): Promise<number> {
  const parts: Part[] = [];
  const made: Part[] = [];
  try {
    for (const part of beginnings(backup)) {
      const isRenewed = await isForOthers(work, folder, part);
      const counting = isRenewed ? await renewPart(work, folder, part) : part;
      if (isRenewed) made.push(counting);
      if ((readGeneration(counting.name)?.number ?? 1) > 1) parts.push(counting);
    }
  } catch (error) {
    // No record will name them, and each try would leave more.
    if (isFailure(error, 'damaged')) for (const { name } of made) await work.repository.storage.remove(folder + name);
    throw error;
  }
  if (made.length === 0) return 0;
  const recipients = work.recipients.map((each) => fingerprintOf(each));
  await appendRecord(work.repository, layout.rewraps(folder), rewrapSchema, { format: 1, at: now, recipients, parts });
  return made.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

async function renewPart(
  { repository, recipients, identities }: Rewrapping,
  folder: string,
  part: Part,
): Promise<Part> {
  const key = folder + part.name;
  const fileKey = openFileKey(await headerAt(repository, key), identities, key);
  const name = await freeName(repository, folder, part);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const body = async function* () {
    const old = asRecorded(await repository.read(key), key, part);
    for await (const chunk of forOthers(old, fileKey, recipients, key)) {
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
      yield chunk;
    }
  };
  await putNew(repository, folder + name, body());
  const made = { name, sizeBytes, sha256: hash.digest('hex') };
  await removedUnless(repository, folder + name, async () => {
    await readToEnd(asRecorded(await repository.read(folder + name), folder + name, made));
  });
  return made;
}

/** After every generation that is there, one that was never named in a record included: names are used once. */
async function freeName({ storage }: Repository, folder: string, { name }: Part): Promise<string> {
  const first = readGeneration(name)?.first ?? name;
  const there = (await storage.folders(folder)).flatMap((each) => readGeneration(each) ?? []);
  const highest = Math.max(1, ...there.filter((each) => each.first === first).map(({ number }) => number));
  return generationName({ first, number: highest + 1 });
}

/**
 * The keys of what is not a part of a backup any more: earlier generations of its objects. Later ones, which no record names,
 * may be about to be named.
 */
export async function spentParts({ storage }: Repository, folder: string, backup: Backup): Promise<readonly string[]> {
  const counting = new Map(beginnings(backup).flatMap(({ name }) => entryOf(name)));
  return (await storage.folders(folder))
    .filter((name) => entryOf(name).some(([first, number]) => number < (counting.get(first) ?? 0)))
    .map((name) => folder + name);
}

function entryOf(name: string): readonly (readonly [string, number])[] {
  const generation = readGeneration(name);
  return generation === undefined ? [] : [[generation.first, generation.number]];
}
