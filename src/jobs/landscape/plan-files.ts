import { createHash } from 'node:crypto';
import { Failure } from '../../core/failure.ts';
import { planIdOf } from '../../core/plan-id.ts';
import type { LandscapePlan } from '../../core/landscape-restore.ts';
import type { Credentials } from '../../core/service-merge.ts';
import { needLandscapeUnit } from '../../landscape/unit.ts';
import type { Repository } from '../../repository/repository.ts';
import { endpointsDigest, writeLandscapePlan, type LandscapeContext } from './context.ts';
import { listFiles } from './list-files.ts';

/** What root asks for where no charm makes the plan. */
export interface FilesRequest {
  /** `<model>/<unit>` as `list-files` shows it. */
  readonly from: string;
  /** The set's id; undefined is the newest. */
  readonly set: string | undefined;
  readonly credentials: Credentials;
}

/** Makes a plan for this unit's files alone and keeps it. Its id is a digest of its decisions. */
export async function planFiles(
  context: LandscapeContext,
  repository: Repository,
  request: FilesRequest,
): Promise<LandscapePlan> {
  const unit = await needLandscapeUnit(context.machine);
  const { units } = await listFiles(repository);
  const found = units.find(
    ({ model, unit: name, sets }) =>
      `${model}/${name}` === request.from && sets.some(({ landscape }) => landscape !== undefined),
  );
  const sets = (found?.sets ?? []).filter(({ landscape }) => landscape !== undefined);
  const set = request.set === undefined ? sets[0] : sets.find(({ id }) => id === request.set);
  if (set === undefined) {
    const what = request.set === undefined ? 'a file set' : `the file set ${request.set}`;
    throw new Failure('missing', `${repository.storage.url} does not hold ${what} of ${request.from}`, {
      hint: 'landscape-backup list-files shows <model>/<unit> and the sets of each.',
    });
  }
  const decisions = {
    format: 1,
    fileSet: { model: set.model, application: set.application, unit: set.unit, id: set.id },
    credentials: request.credentials,
    profile: unit.profile,
    endpointsDigest: endpointsDigest(unit.serviceConfiguration.parsed),
  } as const;
  const planId = planIdOf(createHash('sha256').update(JSON.stringify(decisions)).digest('hex'));
  const plan: LandscapePlan = { ...decisions, planId };
  await writeLandscapePlan(context, plan);
  return plan;
}
