import { Failure } from '../../core/failure.ts';
import type { LandscapePlan } from '../../core/landscape-restore.ts';
import { raiseFence, readFence } from '../../landscape/fence.ts';
import { readServices, stopServices, type Service } from '../../landscape/services.ts';
import { principalAction, type LandscapeContext } from './context.ts';
import { withRestoreLock } from './restore-files.ts';

/** What was quiesced. */
export interface Quiesced {
  readonly fenced: readonly string[];
  /** The units that were stopped by this run. */
  readonly stopped: readonly string[];
}

/**
 * Brings Landscape to rest on this unit and fences it, so that nobody starts it before the restore has ended.
 *
 * On a charmed unit the principal's `pause` must have been done: whoever stops its services behind its back sees them started
 * again by its next hook. Elsewhere they are stopped here. May be repeated.
 */
export async function quiesce(context: LandscapeContext, plan: LandscapePlan): Promise<Quiesced> {
  return await withRestoreLock(context, () => quiesceLocked(context, plan));
}

/** The same for a stage that holds the lock already. */
export async function quiesceLocked(
  context: LandscapeContext,
  { planId, profile }: Pick<LandscapePlan, 'planId' | 'profile'>,
): Promise<Quiesced> {
  const { machine, unit, clock } = context;
  const place = { machine, folder: unit.path };
  const services = await readServices();
  const standing = await readFence(place);
  if (profile === 'charmed' && standing?.planId !== planId) refuseRunning(context, services);
  const running = services.filter(({ isRunning }) => isRunning).map((service) => service.unit);
  const fence = await raiseFence(place, {
    planId,
    since: clock.now(),
    units: services.map((service) => service.unit),
    running,
  });
  if (profile !== 'charmed') await stopServices(running);
  const after = await readServices();
  // A hook of the principal may have started them between the look and the fence.
  if (profile === 'charmed') refuseRunning(context, after);
  const still = after.filter(({ isRunning }) => isRunning);
  if (still.length > 0) {
    throw new Failure('machine', `these services did not stop: ${still.map(describe).join(', ')}`, {
      hint: `systemctl stop ${still.map((service) => service.unit).join(' ')}, then try again.`,
    });
  }
  return { fenced: fence.units, stopped: profile === 'charmed' ? [] : running };
}

function refuseRunning(context: LandscapeContext, services: readonly Service[]): void {
  const running = services.filter(({ isRunning }) => isRunning);
  if (running.length === 0) return;
  throw new Failure('refused', `Landscape is not paused on this unit: ${running.map(describe).join(', ')}`, {
    hint: principalAction(context, 'pause'),
  });
}

function describe({ unit, state }: Service): string {
  return `${unit} is ${state}`;
}
