import { listBackups, type BackupList } from '../core/backup-list.ts';
import type { ClusterCatalogue } from '../core/catalogue.ts';
import { standing } from '../core/incarnation.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { listClusters } from '../repository/incarnations.ts';
import type { Repository } from '../repository/repository.ts';
import { readOwnerState, type UnitFolder } from '../system/home.ts';

/** Reads what can be restored of every cluster in the repository. The unit may have no cluster any more. */
export async function readBackupList(unit: UnitFolder, repository: Repository): Promise<BackupList> {
  const clusters: ClusterCatalogue[] = [];
  for (const systemIdentifier of await listClusters(repository)) {
    clusters.push(await readCatalogue(repository, systemIdentifier));
  }
  const state = await readOwnerState(unit);
  const mine = clusters.find(({ systemIdentifier }) => systemIdentifier === state?.systemIdentifier);
  const is = standing(state?.ownerId, state?.incarnation, mine?.incarnations ?? []);
  const own =
    mine === undefined || is.is !== 'owner'
      ? undefined
      : { systemIdentifier: mine.systemIdentifier, incarnation: is.incarnation.number };
  return listBackups(clusters, own);
}
