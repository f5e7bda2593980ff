import type { Part } from '../core/backup.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { AtOnce } from '../system/at-once.ts';
import type { LackingFolder, Side } from '../system/lacking.ts';
import { proven } from './copy-check.ts';
import { copyClass, recordFolder } from './copy-order.ts';
import { copyAppended, copyClaim, proveSame, type Sides } from './copy-taken.ts';
import { doubledClass, isBefore } from './doubled-key.ts';
import { highestGeneration } from './generations.ts';
import { readGeneration } from './layout.ts';
import { allPartsOf } from './rewraps.ts';
import { putOnce } from './small-object.ts';
import { compareEncrypted } from './stored-form.ts';

/** What bringing over came to; `failures` are those that keep no other object from its turn. */
export interface BroughtOver {
  readonly brought: number;
  /** Objects that neither destination has any more. */
  readonly gone: number;
  readonly failures: readonly Failure[];
}

/** Told when it is enough for this time. */
export interface BringWatch {
  readonly signal: AbortSignal;
  isEnough(): boolean;
}

const mostAtOnce = 4;

/**
 * Brings over what one side is noted to lack, claims first and records last, each proven as far as anything says what it must
 * be. An entry goes when the object was found there, or is nowhere any more. May be killed at any moment and run again.
 *
 * Fails with what stands in the way of all of it; what concerns one object alone is told at the end.
 */
export async function bringOver(
  sides: Sides,
  folder: LackingFolder,
  side: Side,
  watch: BringWatch,
): Promise<BroughtOver> {
  const run = new BringRun(sides, folder, side);
  const keys = await folder.keys(side);
  const isRecord = (key: string): boolean => doubledClass(key) === 'record';
  const claims = keys.filter((key) => doubledClass(key) === 'claim');
  const data = keys.filter((key) => !isRecord(key) && !claims.includes(key));
  for (const key of claims) await run.bring(key);
  const several = new AtOnce(mostAtOnce);
  for (const key of data) {
    if (watch.signal.aborted || watch.isEnough()) break;
    await several.begin(async () => {
      await run.bring(key);
    });
  }
  await several.end();
  const left = await folder.keys(side);
  for (const key of left.filter(isRecord).toSorted(rowsLast)) {
    if (watch.signal.aborted || watch.isEnough()) break;
    if (!left.some((each) => isBefore(each, key))) await run.bring(key);
  }
  return run;
}

/** What says which data counts comes before what makes it count; what is appended speaks of both, and never the other way round. */
function rowsLast(a: string, b: string): number {
  const rank = (key: string) => ['replaced', 'record', 'appended'].indexOf(copyClass(key));
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

class BringRun implements BroughtOver {
  readonly #sides: Sides;
  readonly #folder: LackingFolder;
  readonly #side: Side;
  readonly #parts = new Map<string, ReadonlyMap<string, Part>>();
  brought = 0;
  gone = 0;
  readonly failures: Failure[] = [];

  constructor(sides: Sides, folder: LackingFolder, side: Side) {
    this.#sides = sides;
    this.#folder = folder;
    this.#side = side;
  }

  async bring(key: string): Promise<void> {
    try {
      await this.#copy(key);
      this.brought += 1;
    } catch (error) {
      if (isFailure(error, 'missing')) this.gone += 1;
      else if (isFailure(error, 'conflict', 'damaged')) {
        this.failures.push(error);
        return;
      } else throw error;
    }
    await this.#folder.drop(this.#side, key);
  }

  async #copy(key: string): Promise<void> {
    const { original, copy } = this.#sides;
    if (copyClass(key) === 'claim') {
      await copyClaim(this.#sides, key);
      return;
    }
    if (copyClass(key) === 'appended') {
      await copyAppended(this.#sides, key);
      return;
    }
    const part = await this.#partOf(key);
    const isNew = await putOnce(copy, key, proven(await original.read(key), key, part));
    if (doubledClass(key) === 'wal' && readGeneration(key) !== undefined) await this.#proveCounting(key, isNew);
    else if (!isNew) await this.#proveTaken(key, key);
  }

  /** A segment may lie there in a later generation, and this one's name be free: the one that counts has to hold the same. */
  async #proveCounting(key: string, isNew: boolean): Promise<void> {
    const { copy } = this.#sides;
    const counting = (await highestGeneration(copy, key)) ?? key;
    if (isNew && counting === key) return;
    try {
      await this.#proveTaken(key, counting);
    } catch (error) {
      if (isNew && isFailure(error, 'conflict')) await copy.remove(key);
      throw error;
    }
    if (counting === key) return;
    // Its seal is only the claim.
    await compareEncrypted(await copy.get(counting), counting);
    if (isNew) await copy.remove(key);
  }

  /** What is gone by now says nothing of the other side: the entry stays, and the next time decides. */
  async #proveTaken(key: string, there: string): Promise<void> {
    try {
      await proveSame(this.#sides, key, there);
    } catch (error) {
      if (!isFailure(error, 'missing')) throw error;
      throw new Failure('unavailable', `${key} was removed while it was compared`, { cause: error });
    }
  }

  /**
   * What the records of a backup say of an object's stored bytes, in whatever generation: an earlier one may still be noted. A
   * backup that runs, or is just being encrypted anew, has no record of it yet; what can't be read stays what it is.
   */
  async #partOf(key: string): Promise<Part | undefined> {
    const folder = recordFolder(key);
    if (folder === undefined || !folder.startsWith('clusters/') || doubledClass(key) === 'record') return undefined;
    const known = this.#parts.get(folder)?.get(key);
    if (known !== undefined) return known;
    const parts = await allPartsOf(this.#sides.original, folder);
    this.#parts.set(folder, new Map(parts.map((part) => [folder + part.name, part])));
    return this.#parts.get(folder)?.get(key);
  }
}
