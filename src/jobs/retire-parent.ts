import { createHash } from 'node:crypto';
import { lastSignOfLife } from '../core/backup-list.ts';
import type { IncarnationCatalogue } from '../core/catalogue.ts';
import { Failure } from '../core/failure.ts';
import { aboutPlace, jobBegins, jobFailed, jobId, jobSucceeded } from '../core/journal-record.ts';
import { planIdOf } from '../core/plan-id.ts';
import { whyNotRetire } from '../core/retire.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { layout, type Place } from '../repository/layout.ts';
import { proveOwnership } from '../repository/ownership.ts';
import { randomName } from '../system/files.ts';
import { readOwnerState } from '../system/home.ts';
import { appendJournal } from '../system/journal.ts';
import { takeLock } from '../system/lock.ts';
import { condemn, deleteBackup, type Deleter } from './prune-delete.ts';
import type { PruneContext } from './prune-plan.ts';
import { withWalForgotten } from './remembered-wal.ts';

/** What retiring a parent would delete; its id is a digest of that. */
export interface RetirePlan {
  readonly id: string;
  readonly place: Place;
  readonly owner: { readonly application: string; readonly unit: string };
  readonly lastSignOfLife: Date;
  readonly backups: readonly string[];
  readonly objects: number;
  readonly bytes: number;
}

type RetireContext = Pick<PruneContext, 'unit' | 'repository' | 'isSecond' | 'settings' | 'clock'>;

/**
 * Plans to retire the parent of this unit's incarnation: to delete all it holds but the record of who owned it.
 *
 * Fails with `refused` and the reason while it may not be retired, also on a unit that owns nothing or has no parent.
 */
export async function planRetirement(context: RetireContext): Promise<RetirePlan> {
  const { parent, place } = await question(context);
  const objects: { key: string; sizeBytes: number }[] = [];
  for await (const object of context.repository.storage.list(layout.incarnation(place))) {
    if (!stays(place, object.key)) objects.push(object);
  }
  const digest = JSON.stringify([
    context.repository.record.id,
    // What is confirmed for the one is never done at the other.
    ...(context.isSecond === true ? ['second'] : []),
    place,
    objects.map(({ key, sizeBytes }) => [key, sizeBytes]),
  ]);
  const { application, unit } = parent.owner;
  return {
    id: planIdOf(createHash('sha256').update(digest).digest('hex')),
    place,
    owner: { application, unit },
    lastSignOfLife: lastSignOfLife(parent),
    backups: parent.backups.map(({ id }) => id),
    objects: objects.length,
    bytes: objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

/**
 * Deletes what the plan with this id says, nothing else; `undefined` when it is not what would be deleted now.
 *
 * Backups are condemned and go first, record before parts; WAL follows, oldest first; `owner.json` stays, so that the number
 * is never used again. Killed anywhere, the next plan holds the rest.
 */
export async function retireParent(context: RetireContext, confirm: string): Promise<RetirePlan | undefined> {
  const lock = await takeLock(context.unit.lock('prune'), 'a prune of this cluster');
  try {
    const plan = await planRetirement(context);
    if (plan.id !== confirm) return undefined;
    const startedAt = context.clock.now();
    const id = jobId('retire', startedAt, randomName(3));
    const about = aboutPlace(context.isSecond);
    const begun = { ...jobBegins({ id, kind: 'retire', trigger: 'person', startedAt }), about };
    await appendJournal(context.unit, begun);
    try {
      await carryOut(context, plan);
    } catch (error) {
      await appendJournal(context.unit, jobFailed(begun, context.clock.now(), error));
      throw error;
    }
    const numbers = { objects: plan.objects, bytes: plan.bytes };
    const done = { numbers, about: { ...about, plan: plan.id } };
    await appendJournal(context.unit, jobSucceeded(begun, context.clock.now(), done));
    return plan;
  } finally {
    await lock.release();
  }
}

async function carryOut(context: RetireContext, { place, backups }: RetirePlan): Promise<void> {
  const { repository, clock } = context;
  const deleter: Deleter = {
    repository,
    clock,
    systemIdentifier: place.systemIdentifier,
    leasesOf: [place.incarnation],
    // The parent is not ours; what is asked again is that it may still be retired.
    prove: async () => {
      await question(context);
    },
  };
  const because = `incarnation ${place.incarnation} is retired by its child's owner`;
  await condemn(
    deleter,
    backups.map((id) => ({ incarnation: place.incarnation, id, because })),
  );
  for (const id of backups) {
    if (await deleteBackup(deleter, { incarnation: place.incarnation, id })) continue;
    throw new Failure('refused', `backup ${id} is needed by a job that began meanwhile`, {
      hint: 'Try again when it has ended.',
    });
  }
  await question(context);
  const rest: string[] = [];
  for await (const { key } of repository.storage.list(layout.incarnation(place)))
    if (!stays(place, key)) rest.push(key);
  const isWal = (key: string) => key.startsWith(layout.wal(place));
  await withWalForgotten(context.unit, async () => {
    for (const key of [...rest.filter((each) => !isWal(each)), ...rest.filter(isWal)])
      await repository.storage.remove(key);
  });
}

/** Who owned it stays known, and so does the folder in which guests speak. */
function stays(place: Place, key: string): boolean {
  return key === layout.owner(place) || key === `${layout.guests(place)}README.txt`;
}

/** Reads parent and child anew and fails unless the parent may be retired now. */
async function question(context: RetireContext): Promise<{ parent: IncarnationCatalogue; place: Place }> {
  const { unit, repository, settings, clock } = context;
  const state = await readOwnerState(unit);
  if (state === undefined) {
    throw new Failure('refused', 'this unit owns nothing, so it can retire nothing', {
      hint: "Do it on the unit that owns the parent's child.",
    });
  }
  await proveOwnership(repository, state, state.ownerId);
  const { incarnations } = await readCatalogue(repository, state.systemIdentifier);
  const child = incarnations.find(({ number }) => number === state.incarnation);
  const parent = incarnations.find(({ number }) => number === child?.owner.parent?.incarnation);
  if (child === undefined || parent === undefined) {
    throw new Failure('refused', `incarnation ${state.incarnation} has no parent in the repository`);
  }
  const why = whyNotRetire({ parent, child, retentionDays: settings.retentionDays, now: clock.now() });
  if (why === undefined) {
    return { parent, place: { systemIdentifier: state.systemIdentifier, incarnation: parent.number } };
  }
  throw new Failure('refused', `incarnation ${parent.number} is not retired: ${why}`, {
    hint: 'Nothing was deleted. Its own unit prunes it as long as it lives.',
  });
}
