import type { FileSet } from '../../core/record.ts';
import { listAllFileSets } from '../../repository/file-sets.ts';
import type { Repository } from '../../repository/repository.ts';

/** The file sets of one unit, newest first. */
export interface UnitFileSets {
  readonly model: string;
  readonly application: string;
  readonly unit: string;
  readonly sets: readonly FileSet[];
}

/** All units that have file sets in the repository, and places that can't be read. */
export async function listFiles(
  repository: Repository,
): Promise<{ readonly units: readonly UnitFileSets[]; readonly unreadable: readonly string[] }> {
  const { sets, unreadable } = await listAllFileSets(repository);
  const units = Map.groupBy(sets, ({ model, application, unit }) => JSON.stringify([model, application, unit]));
  const sorted = [...units.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    units: sorted.flatMap(([, each]) => {
      const ordered = each.sort((a, b) => b.takenAt.getTime() - a.takenAt.getTime());
      const [first] = ordered;
      if (first === undefined) return [];
      return [{ model: first.model, application: first.application, unit: first.unit, sets: ordered }];
    }),
    unreadable,
  };
}
