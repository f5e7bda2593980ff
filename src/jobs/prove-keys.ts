import type { Backup } from '../core/backup.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import { proveFileSetOpens } from '../repository/file-sets.ts';
import { layout } from '../repository/layout.ts';
import { proveOpens } from '../repository/parts.ts';
import type { Repository } from '../repository/repository.ts';

/**
 * Fails with `refused` where a restore can't succeed because nothing is at hand to open the repository, and as `Keys.recipients`
 * does where the restored cluster shall archive into it and what is stored could not be encrypted. Reads nothing.
 */
export function needKeys({ keys }: Repository, isClaiming: boolean): void {
  if (keys.isEncrypted) keys.identities();
  if (isClaiming) keys.recipients();
}

/**
 * Proves that what is at hand opens all that a plan needs, before anything is stopped for it: the backup, its manifest, the
 * files of each unit. Its WAL is proven by reading it.
 *
 * Fails as `needKeys` does, and with `refused` where the identity is another's.
 */
export async function proveKeys(repository: Repository, plan: RestorePlan, backup: Backup): Promise<void> {
  needKeys(repository, plan.claims !== null);
  const place = { systemIdentifier: plan.systemIdentifier, incarnation: plan.backup.incarnation };
  const folder = layout.backup(place, backup.id);
  for (const { parts } of backup.archives) await proveOpens(repository, folder, parts);
  if (backup.manifest !== null) await proveOpens(repository, folder, [backup.manifest]);
  for (const { fileSet } of plan.units) if (fileSet !== null) await proveFileSetOpens(repository, fileSet);
}
