import { principalRun } from '../core/juju-words.ts';
import type { FileSet } from '../core/record.ts';
import { planUnits as decide, type FileSetSummary, type UnitPlans } from '../core/unit-plan.ts';
import { listAllFileSets } from '../repository/file-sets.ts';
import type { PlanContext } from './plan-context.ts';

/** What the plan of the database says about the files that belong to it. */
interface Wanted {
  /** The model whose database comes back. */
  readonly model: string;
  /** The moment that is restored to; `undefined` for the newest. */
  readonly notAfter: Date | undefined;
  readonly filesFrom: Readonly<Record<string, string>>;
}

/** Decides which files each Landscape unit of the model gets; nothing where there is no Juju. Fails with `refused`. */
export async function planUnits({ repository, site, clock }: PlanContext, wanted: Wanted): Promise<UnitPlans> {
  if (site === undefined) return { units: [], notes: [] };
  const { sets, unreadable } = await listAllFileSets(repository);
  const plans = decide({
    site: site.site,
    model: site.identity.model.uuid,
    sets: sets.flatMap(summaryOf),
    production: { model: wanted.model },
    notAfter: wanted.notAfter,
    filesFrom: wanted.filesFrom,
    now: clock.now(),
    principalAction: (principal, action) => principalRun(site.identity.jujuVersion, principal, action),
  });
  const damaged = unreadable.map((folder) => `The file set below ${folder} can't be read and was not considered.`);
  return { units: plans.units, notes: [...plans.notes, ...damaged] };
}

function summaryOf({ model, application, unit, id, takenAt, landscape }: FileSet): readonly FileSetSummary[] {
  if (landscape === undefined) return [];
  const { called, version } = landscape;
  return [
    {
      model,
      application,
      unit,
      id,
      takenAt,
      modelName: called?.model ?? null,
      principal: called?.principal ?? null,
      landscapeVersion: version,
    },
  ];
}
