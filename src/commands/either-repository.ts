import { Failure, isFailure } from '../core/failure.ts';
import type { KeptPlan } from '../core/restore-plan.ts';
import { loadPlan } from '../jobs/kept-plans.ts';
import { keepSecond, withSecondAlone } from '../jobs/second.ts';
import type { Repository } from '../repository/repository.ts';
import { LackingFolder } from '../system/lacking.ts';
import { withRepository, type Context } from './context.ts';

/** Which destination a repository lies at. */
export type From = 'first' | 'second';

/** What another destination may help against. */
function isOfPlace(error: unknown): error is Failure {
  return isFailure(error, 'unavailable', 'missing', 'damaged', 'refused');
}

/**
 * Reads from the repository at the destination, or where that can't be had or has not what it takes, at the second. Fails as the
 * first did where the second helps no more.
 */
export async function fromEither<T>(
  context: Context,
  work: (repository: Repository, from: From) => Promise<T>,
): Promise<T> {
  const { settings, unit } = context;
  const first = async (): Promise<T> =>
    await withRepository(context, async (repository) => await work(repository, 'first'));
  if (settings.second === undefined) return await first();
  if ((await new LackingFolder(unit.path).keys('first')).length > 0) {
    // What lies at the second only is brought over where that is possible; otherwise it shows in what is missing.
    await keepSecond(context, { fills: false }).catch(() => undefined);
  }
  try {
    return await first();
  } catch (error) {
    if (!isOfPlace(error)) throw error;
    try {
      return await withSecondAlone(context, async (repository) => await work(repository, 'second'));
    } catch {
      throw error;
    }
  }
}

/** The repository at the destination that a plan was made from: one that is under way, or one that was kept under an id. */
export async function fromPlanned<T>(
  context: Context,
  planned: KeptPlan | string | undefined,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  const { destination, second } = context.settings;
  if (second === undefined || planned === undefined) return await withRepository(context, work);
  const { url } = (typeof planned === 'string' ? await loadPlan(context.unit, planned) : planned).plan;
  const isSecond = url === second.destination.url && url !== destination?.url;
  return isSecond ? await withSecondAlone(context, work) : await withRepository(context, work);
}

/** What is claimed needs the destination: who restores in place, or takes over at once, can't do with the second. */
export function refuseClaimAt(from: From, claims: boolean): void {
  if (from === 'first' || !claims) return;
  throw new Failure('refused', 'a restore from the second destination claims nothing', {
    hint: 'Make it the destination (destination=<its URL>, destination-2 empty), then restore.',
  });
}
