import { createHash } from 'node:crypto';
import { readDestination, type Destination } from '../core/destination.ts';
import { Failure } from '../core/failure.ts';
import { jobBegins, jobFailed, jobId, jobSucceeded } from '../core/journal-record.ts';
import { planIdOf } from '../core/plan-id.ts';
import { formatBytes } from '../core/words.ts';
import { copyRepository, type Copied } from '../repository/copy.ts';
import { lookAtCopy, measureCopy, type CopySize, type CopyState } from '../repository/copy-state.ts';
import type { Sides } from '../repository/copy-taken.ts';
import { isSharedFolder } from '../repository/layout.ts';
import { proveOwnership } from '../repository/ownership.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import { openStorage } from '../storage/open.ts';
import type { Storage } from '../storage/storage.ts';
import { randomName } from '../system/files.ts';
import { readOwnerState, readSettings } from '../system/home.ts';
import { appendJournal } from '../system/journal.ts';
import { takeLock } from '../system/lock.ts';
import { refuseUnmounted } from '../system/mounts.ts';
import type { JobContext } from './job-context.ts';
import { makeMeter, type ReportProgress } from './job-progress.ts';
import { atUploadLimit } from './upload-limit.ts';

/** What a copy works with: this unit's repository, at the destination of its settings. */
export interface CopyContext extends Pick<JobContext, 'home' | 'unit' | 'settings' | 'clock'> {
  readonly repository: Repository;
  readonly signal: AbortSignal;
  readonly progress: ReportProgress;
}

/** From this unit's destination to another place, or back from there. */
export interface CopyRequest {
  readonly direction: 'to' | 'from';
  /** The other place, as an option `destination` would name it. */
  readonly place: string;
}

/** What a copy would do; its id is a digest of the repository and both places. */
export interface CopyPlan extends CopySize {
  readonly id: string;
  readonly repositoryId: string;
  readonly from: string;
  readonly to: string;
  readonly state: CopyState;
  /** How much fits there; `undefined` where the place knows no end. */
  readonly freeBytes: number | undefined;
}

/** What became of a confirmed copy: it ran, or the plan is another one now and nothing was copied. */
export type CopyOutcome =
  | { readonly is: 'copied'; readonly plan: CopyPlan; readonly copied: Copied }
  | { readonly is: 'changed'; readonly plan: CopyPlan };

/**
 * Plans a copy; nothing is written. Fails with `refused` on a unit that owns nothing, where the place can't take a copy, and
 * where there is no room.
 */
export async function planCopy(context: CopyContext, request: CopyRequest): Promise<CopyPlan> {
  return await withSides(context, request, async (sides) => await makePlan(sides));
}

/**
 * Copies the repository as planned: everything, proven, and usable at its end only. Meanwhile archiving, backups and prunes
 * go on. Killed at any moment, the same copy again goes on where it ended.
 */
export async function runCopy(context: CopyContext, request: CopyRequest, confirm: string): Promise<CopyOutcome> {
  const lock = await takeLock(context.unit.lock('copy'), 'a copy of the repository');
  try {
    return await withSides(context, request, async (sides) => {
      const plan = await makePlan(sides);
      if (plan.id !== confirm) return { is: 'changed', plan };
      return { is: 'copied', plan, copied: await journaled(context, plan, sides) };
    });
  } finally {
    await lock.release();
  }
}

async function journaled(context: CopyContext, plan: CopyPlan, sides: Sides): Promise<Copied> {
  const { unit, clock, signal, progress } = context;
  const startedAt = clock.now();
  const about = { plan: plan.id, to: plan.to };
  const id = jobId('copy', startedAt, randomName(3));
  const begun = { ...jobBegins({ id, kind: 'copy', trigger: 'person', startedAt }), about };
  await appendJournal(unit, begun);
  const now = () => performance.now();
  try {
    const copied = await copyRepository(sides, {
      signal,
      copied: makeMeter('copying the repository', plan.missingBytes, now, progress),
      readBack: makeMeter('reading the copy back', plan.bytes, now, progress),
    });
    const { storedObjects, storedBytes, readBack } = copied;
    const numbers = { storedObjects, storedBytes, readBack };
    await appendJournal(unit, jobSucceeded(begun, clock.now(), { numbers, about }));
    return copied;
  } catch (error) {
    await appendJournal(unit, jobFailed(begun, clock.now(), error));
    throw error;
  }
}

async function makePlan(sides: Sides): Promise<CopyPlan> {
  const { original, copy } = sides;
  const { id: repositoryId } = original.record;
  const state = await lookAtCopy(original, copy);
  const size = await measureCopy(sides);
  const freeBytes = await copy.freeBytes();
  if (freeBytes !== undefined && freeBytes < size.missingBytes) {
    throw new Failure(
      'refused',
      `the copy needs ${formatBytes(size.missingBytes)} and ${copy.url} has room for ${formatBytes(freeBytes)}`,
      { hint: 'Make room there. Nothing was copied.' },
    );
  }
  const [from, to] = [original.storage.url, copy.url];
  const digest = createHash('sha256').update(JSON.stringify([repositoryId, from, to]));
  return { id: planIdOf(digest.digest('hex')), repositoryId, from, to, state, freeBytes, ...size };
}

/** Opens the other place and works with both, the copy at the limit of uploads. */
async function withSides<T>(
  context: CopyContext,
  request: CopyRequest,
  work: (sides: Sides) => Promise<T>,
): Promise<T> {
  const { repository, settings } = context;
  await proveOwner(context);
  const other = await openOther(context, request.place);
  try {
    const limited = (to: Storage): Storage => atUploadLimit({ ...repository, storage: to }, settings).storage;
    if (request.direction === 'to') return await work({ original: repository, copy: limited(other) });
    const original = await openRepository(other, repository.record.id, settings.encryption);
    return await work({ original, copy: limited(repository.storage) });
  } finally {
    await other.close();
  }
}

/** Both what is written and who says that it is whole are the owner's. */
async function proveOwner({ unit, repository }: CopyContext): Promise<void> {
  const state = await readOwnerState(unit);
  if (state === undefined) {
    throw new Failure('refused', `this unit owns nothing in ${repository.storage.url}, so it may not copy it`, {
      hint: 'Copy on the unit that owns the cluster. A restored copy owns its line after landscape-backup take-over.',
    });
  }
  await proveOwnership(repository, state, state.ownerId);
}

async function openOther({ repository, settings, unit, home }: CopyContext, place: string): Promise<Storage> {
  const destination = readDestination(place);
  if (typeof destination === 'string')
    throw new Failure('usage', `the place of the other side can't be used: ${destination}`);
  refuseOverlap(destination, repository.storage.url);
  if (destination.kind === 'directory') await refuseUnmounted(destination.path);
  return await openStorage(destination, {
    isShared: isSharedFolder,
    access: settings.access,
    reread: async () => (await readSettings(home)).access,
    privateFolder: unit.path,
  });
}

function refuseOverlap({ url }: Destination, own: string): void {
  const inside = (outer: string, inner: string) => inner === outer || inner.startsWith(`${outer}/`);
  if (!inside(url, own) && !inside(own, url)) return;
  throw new Failure(
    'usage',
    `${url} and this unit's own destination ${own} are the same place, or one lies in the other`,
    {
      hint: 'Name another place, on another machine.',
    },
  );
}
