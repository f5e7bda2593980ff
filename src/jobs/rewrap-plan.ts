import { createHash } from 'node:crypto';
import { fingerprintOf, type Recipient } from '../core/age-key.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { planIdOf } from '../core/plan-id.ts';
import { readBackups } from '../repository/catalogue.ts';
import type { FileSetOwner } from '../repository/file-sets.ts';
import { byFolder, type Stored } from '../repository/generations.ts';
import { listIncarnations } from '../repository/incarnations.ts';
import { layout, type Place } from '../repository/layout.ts';
import { proveOwnership } from '../repository/ownership.ts';
import type { Repository } from '../repository/repository.ts';
import { beginnings, isForOthers, spentParts } from '../repository/rewrap-backup.ts';
import { judge, type Rewrapping } from '../repository/rewrap.ts';
import { AtOnce } from '../system/at-once.ts';
import { readOwnerState, type UnitFolder } from '../system/home.ts';

/** What of the repository is this unit's, and nobody else's to encrypt anew. */
export interface RewrapScope {
  readonly places: readonly Place[];
  readonly fileSets: FileSetOwner;
  /** Where this unit says that it is at it: its own incarnation; `undefined` where nobody else could be. */
  readonly home: Place | undefined;
  /** Fails with `refused` unless this unit may write there still. */
  prove(place: Place): Promise<void>;
}

/** Objects, and how long they are together. */
export interface RewrapCount {
  readonly objects: number;
  readonly bytes: number;
}

/** What is for others than the recipients now; its id is a digest of whose objects become whose. */
export interface RewrapPlan {
  readonly id: string;
  /** Fingerprints. */
  readonly recipients: readonly string[];
  readonly backups: RewrapCount;
  readonly wal: RewrapCount;
  readonly fileSets: RewrapCount;
  /** Objects that were replaced by an earlier run and lie there still. */
  readonly leftovers: number;
  /** What can't be read, in words. */
  readonly damaged: readonly string[];
}

/** Told of each object that was looked at. */
export type Looked = (bytes: number) => void;

const atOnce = 8;
const mostTold = 20;

/** The incarnations that belong to the owner that this unit is, and its own file sets. Fails with `refused` where it owns nothing. */
export async function ownScope(unit: UnitFolder, repository: Repository, fileSets: FileSetOwner): Promise<RewrapScope> {
  const state = await readOwnerState(unit);
  if (state === undefined) {
    throw new Failure(
      'refused',
      `this unit owns nothing in ${repository.storage.url}, so it may change nothing there`,
      {
        hint: 'Do it on the unit that owns the cluster; a restored copy owns its line after landscape-backup take-over.',
      },
    );
  }
  const { systemIdentifier, ownerId } = state;
  await proveOwnership(repository, state, ownerId);
  const own = (await listIncarnations(repository, systemIdentifier)).filter(({ owner }) => owner.ownerId === ownerId);
  return {
    places: own.map(({ number }) => ({ systemIdentifier, incarnation: number })),
    fileSets,
    home: { systemIdentifier, incarnation: state.incarnation },
    prove: async (place) => {
      const now = await readOwnerState(unit);
      if (now?.ownerId !== ownerId || now.systemIdentifier !== systemIdentifier)
        throw new Failure('refused', 'this unit stopped being the owner meanwhile', {
          hint: 'What was encrypted anew by then stays so; the new owner goes on with it.',
        });
      await proveOwnership(repository, place, ownerId);
    },
  };
}

/** A Landscape unit's file sets, which nobody else writes. Fails with `refused` where nobody said that this is the repository. */
export function filesScope(
  { record, storage }: Repository,
  expected: string | undefined,
  fileSets: FileSetOwner,
): RewrapScope {
  if (expected === undefined) {
    throw new Failure('refused', `this unit has not been told to use the repository ${record.id} at ${storage.url}`, {
      hint: 'If it is the right one: landscape-backup backup-files --join. With Juju the charm does that.',
    });
  }
  return { places: [], fileSets, home: undefined, prove: async () => await Promise.resolve() };
}

/** To whom, and with what: fails as both sides of `Keys` do, and with `refused` where nothing is encrypted. */
export function rewrapping(repository: Repository): Rewrapping {
  const recipients = repository.keys.recipients();
  if (recipients !== undefined) return { repository, recipients, identities: repository.keys.identities() };
  throw new Failure('refused', `the repository at ${repository.storage.url} is not encrypted`, {
    hint: 'There is nothing to encrypt anew: what is encrypted begins at a destination of its own.',
  });
}

/** The folders in which sealed objects of a scope lie, each with the listing that finds them. */
export function sealedFolders(
  scope: RewrapScope,
): readonly { readonly prefix: string; readonly place: Place | undefined }[] {
  const { model, application, unit } = scope.fileSets;
  return [
    ...scope.places.map((place) => ({ prefix: layout.wal(place), place })),
    { prefix: layout.fileSets(model, application, unit), place: undefined },
  ];
}

/**
 * Plans what is encrypted anew; nothing is written. It looks at the beginning of every object and opens those that are for
 * others, so that a wrong identity is found before anything is done: `refused`.
 */
export async function makeRewrapPlan(work: Rewrapping, scope: RewrapScope, looked: Looked): Promise<RewrapPlan> {
  const survey = new Survey(work, looked);
  for (const place of scope.places) await survey.backups(place);
  for (const { prefix, place } of sealedFolders(scope))
    await survey.sealed(prefix, place === undefined ? 'fileSets' : 'wal');
  return { id: planId(work, scope), recipients: work.recipients.map((each) => fingerprintOf(each)), ...survey.found() };
}

class Survey {
  readonly #work: Rewrapping;
  readonly #looked: Looked;
  readonly #counts = {
    backups: { objects: 0, bytes: 0 },
    wal: { objects: 0, bytes: 0 },
    fileSets: { objects: 0, bytes: 0 },
  };
  readonly #damaged: string[] = [];
  #leftovers = 0;
  #seen = 0;

  constructor(work: Rewrapping, looked: Looked) {
    this.#work = work;
    this.#looked = looked;
  }

  found(): Omit<RewrapPlan, 'id' | 'recipients'> {
    return { ...this.#counts, leftovers: this.#leftovers, damaged: this.#damaged };
  }

  async backups(place: Place): Promise<void> {
    const { repository } = this.#work;
    const { backups, unfinished } = await readBackups(repository, place);
    for (const { unreadable } of unfinished) if (unreadable !== undefined) this.#tell(unreadable);
    for (const backup of backups) {
      const folder = layout.backup(place, backup.id);
      for (const part of beginnings(backup)) {
        await this.#readable(async () => {
          if (await isForOthers(this.#work, folder, part)) count(this.#counts.backups, part.sizeBytes);
        });
        this.#look(part.sizeBytes);
      }
      this.#leftovers += (await spentParts(repository, folder, backup)).length;
    }
  }

  async sealed(prefix: string, of: 'wal' | 'fileSets'): Promise<void> {
    const several = new AtOnce(atOnce);
    for await (const folder of byFolder(this.#work.repository.storage.list(prefix))) {
      for (const stored of folder) await several.begin(async () => await this.#one(stored, of));
    }
    await several.end();
  }

  async #one(stored: Stored, of: 'wal' | 'fileSets'): Promise<void> {
    const sizeBytes = stored.generations[0]?.sizeBytes ?? 0;
    await this.#readable(async () => {
      const judged = await judge(this.#work, stored);
      if (judged === 'renew') count(this.#counts[of], sizeBytes);
      if (judged !== 'done') this.#leftovers += stored.generations.length - 1;
    });
    this.#look(sizeBytes);
  }

  /** What was pruned since it was listed is nothing to do; what is damaged is told, and the others go on. */
  async #readable(look: () => Promise<void>): Promise<void> {
    try {
      await look();
    } catch (error) {
      if (isFailure(error, 'missing')) return;
      if (!isFailure(error, 'damaged')) throw error;
      this.#tell(error.message);
    }
  }

  #tell(what: string): void {
    if (this.#damaged.length < mostTold) this.#damaged.push(what);
  }

  #look(bytes: number): void {
    this.#seen += bytes;
    this.#looked(this.#seen);
  }
}

function count(counted: { objects: number; bytes: number }, bytes: number): void {
  counted.objects += 1;
  counted.bytes += bytes;
}

function planId({ repository, recipients }: Rewrapping, { places, fileSets }: RewrapScope): string {
  const decisions = [
    repository.record.id,
    places.map(({ systemIdentifier, incarnation }) => [systemIdentifier, incarnation]),
    [fileSets.model, fileSets.application, fileSets.unit],
    recipients.map((each: Recipient) => each.text).sort(),
  ];
  return planIdOf(createHash('sha256').update(JSON.stringify(decisions)).digest('hex'));
}
