import { Failure, isFailure } from '../core/failure.ts';
import { bringOver, type BroughtOver } from '../repository/bring-over.ts';
import { copyRepository } from '../repository/copy.ts';
import { lookAtCopy, type CopyState } from '../repository/copy-state.ts';
import { twoPlaces } from '../repository/open-destinations.ts';
import { proveOwnership } from '../repository/ownership.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import { ofSecond, type TwoPlaces } from '../repository/second-place.ts';
import type { Storage } from '../storage/storage.ts';
import { within } from '../system/deadline.ts';
import { readOwnerState } from '../system/home.ts';
import { LackingFolder } from '../system/lacking.ts';
import { takeLock } from '../system/lock.ts';
import { refuseUnmounted } from '../system/mounts.ts';
import { destinationsAt, expectedRepository, type JobContext } from './job-context.ts';
import { atUploadLimit } from './upload-limit.ts';

/** What keeping the second destination works with. */
export interface SecondContext extends Pick<JobContext, 'home' | 'unit' | 'settings' | 'clock'> {
  readonly signal: AbortSignal;
}

/** What looking at it takes. */
export type SecondPlace = Omit<SecondContext, 'signal'>;

/** What a call came to. */
export type KeptSecond =
  /** There is none, or another call is at it. */
  | { readonly is: 'nothing' }
  /** There is none any more, and what it lacked is forgotten. */
  | { readonly is: 'dropped'; readonly objects: number }
  /** It is not filled yet: the same call again goes on. */
  | { readonly is: 'filling' }
  | { readonly is: 'kept'; readonly brought: number; readonly left: number };

const reachMs = 30_000;
/** What is due has to wait for this. */
const mostMs = 10 * 60_000;
/** So often everything is compared, whatever the notes say: they were another machine's before a promotion. */
const compareEveryMs = 24 * 60 * 60_000;

/**
 * Looks whether both destinations answer, and notes it for all who store: they leave one alone that does not, and come back to
 * it when it does. Bounded in time; fails never because of a destination.
 */
export async function lookAtBoth(context: SecondContext): Promise<void> {
  await withPlaces(context, async (places) => {
    const { folder } = places;
    const first = within(reachMs, places.first.url, openFirst(context, places)).then(
      async () => await folder.clearAway('first'),
      async (error: unknown) => {
        if (isFailure(error, 'unavailable')) await places.leaveAlone('first', error);
      },
    );
    const second = within(reachMs, `the second destination ${places.second.url}`, places.provenSecond()).then(
      async () => await keepContradiction(folder),
      async (error: unknown) => {
        await places.leaveAlone('second', ofSecond(error));
      },
    );
    await Promise.all([first, second]);
  });
}

/** What contradicts stays noted until everything was brought over without a word. */
async function keepContradiction(folder: LackingFolder): Promise<void> {
  const note = await folder.awayNote('second');
  if (note?.kind !== 'conflict') return await folder.clearAway('second');
  await folder.setAway('second', { kind: 'conflict', message: note.message, hint: note.hint ?? undefined });
}

/**
 * Fills the second destination where it is new or was away for too long, and brings over what either lacks. Ends within ten
 * minutes or with the object under way; the same call again goes on. Killed anywhere it leaves what it found, or more.
 *
 * Only the owner of the cluster fills (`fills`); everybody brings over what it has stored itself. Fails with what stands in
 * the way, which is noted too.
 */
export async function keepSecond(context: SecondContext, { fills }: { readonly fills: boolean }): Promise<KeptSecond> {
  const { unit, settings, signal } = context;
  if (settings.second === undefined) return await dropSecond(new LackingFolder(unit.path));
  const began = performance.now();
  const watch = { signal, isEnough: () => signal.aborted || performance.now() - began > mostMs };
  return await withPlaces(context, async (places) => {
    const lock = await takeLock(unit.lock('second'), 'keeping the second destination').catch((error: unknown) => {
      if (isFailure(error, 'busy')) return undefined;
      throw error;
    });
    if (lock === undefined) return { is: 'nothing' };
    try {
      return await keep(context, places, { fills, watch });
    } finally {
      await lock.release();
    }
  });
}

async function keep(
  context: SecondContext,
  places: TwoPlaces,
  { fills, watch }: { readonly fills: boolean; readonly watch: { signal: AbortSignal; isEnough: () => boolean } },
): Promise<KeptSecond> {
  const { folder } = places;
  const lacks = async (): Promise<number> => (await folder.keys('second')).length + (await folder.keys('first')).length;
  if (!fills && (await lacks()) === 0) return { is: 'nothing' };
  const original = await openFirst(context, places);
  const owns = fills && (await isOwner(context, original));
  if (!owns && (await lacks()) === 0) return { is: 'nothing' };
  if (owns && !(await fill(context, places, original, watch))) return { is: 'filling' };
  const second = await openSecond(context, places, original);
  const limited = atUploadLimit({ ...original, storage: second.storage }, context.settings).storage;
  const there = await bringOver({ original, copy: limited }, folder, 'second', watch);
  const back = await bringOver({ original: second, copy: original.storage }, folder, 'first', watch);
  await judge(places, [there, back]);
  return { is: 'kept', brought: there.brought + back.brought, left: await lacks() };
}

/** What contradicts is for a person; everybody else stops meanwhile. */
async function judge(places: TwoPlaces, done: readonly BroughtOver[]): Promise<void> {
  const failures = done.flatMap((each) => each.failures);
  const contradicts = failures.find(({ kind }) => kind === 'conflict');
  if (contradicts !== undefined) {
    await places.leaveAlone('second', ofSecond(contradicts));
    throw ofSecond(contradicts);
  }
  await places.folder.clearAway('second');
  const [first] = failures;
  if (first !== undefined) throw first;
}

/** Brings over everything that is at the first; says whether all of it is there. */
async function fill(
  context: SecondContext,
  places: TwoPlaces,
  original: Repository,
  { signal, isEnough }: { readonly signal: AbortSignal; readonly isEnough: () => boolean },
): Promise<boolean> {
  const { folder, second } = places;
  const filled = await folder.filled();
  const state = await asSecond(places, async () => await lookAt(original, await second.storage()));
  const now = context.clock.now();
  const isFresh = filled !== undefined && now.getTime() - Date.parse(filled.at) < compareEveryMs;
  const isSame = filled?.url === second.url && filled.repositoryId === original.record.id;
  if (state === 'whole' && isFresh && isSame) return true;
  const place = context.settings.second?.destination;
  if (state === 'empty' && place?.kind === 'directory') {
    await asSecond(places, async () => await refuseUnmounted(place.path));
  }
  await folder.beginFilling();
  try {
    await asSecond(places, async () => {
      const copy = atUploadLimit({ ...original, storage: await second.storage() }, context.settings).storage;
      await copyRepository({ original, copy }, { signal, copied: ignore, readBack: ignore }, { isEnough });
    });
  } catch (error) {
    if (isEnough() && isFailure(error, 'busy', 'machine')) return false;
    throw error;
  }
  await folder.setFilled({ url: second.url, repositoryId: original.record.id, at: now.toISOString() });
  return true;
}

/** Another repository than ours is a wrong option, and contradicts nothing. */
async function lookAt(original: Repository, copy: Storage): Promise<CopyState> {
  return await lookAtCopy(original, copy).catch((error: unknown) => {
    if (!isFailure(error, 'conflict')) throw error;
    throw new Failure('refused', error.message, { hint: error.hint, cause: error });
  });
}

function ignore(): void {
  // How far it is shows in what is left.
}

async function isOwner({ unit }: SecondContext, original: Repository): Promise<boolean> {
  const state = await readOwnerState(unit);
  if (state === undefined) return false;
  try {
    await proveOwnership(original, state, state.ownerId);
    return true;
  } catch (error) {
    if (isFailure(error, 'refused')) return false;
    throw error;
  }
}

/** Does something with the second; a failure is noted, and all who store leave it alone. */
async function asSecond<T>(places: TwoPlaces, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const failure = ofSecond(error);
    // Another repository is a wrong option; a contradiction is one object, or one claim, of this one.
    if (failure.kind !== 'busy' && failure.kind !== 'machine') await places.leaveAlone('second', failure);
    throw failure;
  }
}

async function openSecond(context: SecondContext, places: TwoPlaces, original: Repository): Promise<Repository> {
  return await asSecond(places, async () => {
    const storage = await within(reachMs, places.second.url, places.provenSecond());
    return await openRepository(storage, original.record.id, context.settings.encryption);
  });
}

async function openFirst(context: SecondPlace, places: TwoPlaces): Promise<Repository> {
  const storage = await places.first.storage();
  return await openRepository(storage, await expectedRepository(context), context.settings.encryption);
}

async function withPlaces<T>(context: SecondPlace, work: (places: TwoPlaces) => Promise<T>): Promise<T> {
  const { second } = context.settings;
  if (second === undefined) throw new Failure('internal', 'there is no second destination');
  const places = twoPlaces({ ...destinationsAt(context), second });
  try {
    return await work(places);
  } finally {
    places.close().catch(() => undefined); // A destination that doesn't answer is not waited for.
  }
}

/** What only the second has is not forgotten: nobody else has it. */
async function dropSecond(folder: LackingFolder): Promise<KeptSecond> {
  const objects = await folder.forgetSecond();
  return objects === 0 ? { is: 'nothing' } : { is: 'dropped', objects };
}

/** Opens the repository at the second destination, where it has all that the first had; `undefined` where it has not. */
export async function withWholeSecond<T>(
  context: SecondPlace,
  work: (repository: Repository) => Promise<T>,
): Promise<T | undefined> {
  if (context.settings.second === undefined) return undefined;
  return await withPlaces(context, async (places) => {
    const { folder } = places;
    const isBehind = (await folder.away('second')) !== undefined || (await folder.keys('second')).length > 0;
    if (isBehind || (await folder.filled())?.url !== places.second.url) return undefined;
    return await work(await openAlone(context, places));
  });
}

/** Opens the repository at the second destination alone: for a restore, while the first can't be had. */
export async function withSecondAlone<T>(
  context: SecondPlace,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  return await withPlaces(context, async (places) => await work(await openAlone(context, places)));
}

async function openAlone({ settings, unit }: SecondPlace, places: TwoPlaces): Promise<Repository> {
  try {
    const storage = await within(reachMs, places.second.url, places.second.storage());
    return await openRepository(storage, await expectedRepository({ settings, unit }), settings.encryption);
  } catch (error) {
    throw ofSecond(error);
  }
}
