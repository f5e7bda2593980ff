import { basename, join } from 'node:path';
import { readIdentityLines } from '../core/encryption.ts';
import { Failure } from '../core/failure.ts';
import type { Secret } from '../core/secret.ts';
import { namesIn, readText, removeFile, writeAtomically } from '../system/files.ts';
import type { UnitFolder } from '../system/home.ts';

/**
 * What opens the WAL of the plan in service. PostgreSQL starts `restore-wal` anew for each segment, and what was given to the
 * restore once must not be asked for again: it lies here, readable by the cluster's owner alone, while the restore is under way.
 */
function pathOf(unit: UnitFolder): string {
  return join(unit.restore, 'identities.txt');
}

/** Keeps them until they are forgotten; the folder is there. */
export async function keepServedIdentities(unit: UnitFolder, identities: readonly Secret[]): Promise<void> {
  await writeAtomically(pathOf(unit), identities.map((each) => `${each.reveal()}\n`).join(''));
}

/** None where nothing was kept. */
export async function readServedIdentities(unit: UnitFolder): Promise<readonly Secret[]> {
  const identities = readIdentityLines((await readText(pathOf(unit))) ?? '');
  if (identities !== undefined) return identities;
  throw new Failure('damaged', `${pathOf(unit)} holds something that is no identity`, {
    hint: 'Give them again: landscape-backup restore --continue --identity-file=<file>.',
  });
}

/** There may be nothing to forget; what a run that was killed had not finished to write is forgotten too. */
export async function forgetServedIdentities(unit: UnitFolder): Promise<void> {
  const name = basename(pathOf(unit));
  for (const each of await namesIn(unit.restore)) {
    if (each === name || each.startsWith(`.${name}.`)) await removeFile(join(unit.restore, each));
  }
}
