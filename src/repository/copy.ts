import type { Part } from '../core/backup.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { AtOnce } from '../system/at-once.ts';
import { isProvable, proven } from './copy-check.ts';
import { compareListings, copyClass, folderOf, incarnationOf, recordFolder } from './copy-order.ts';
import { lookAtCopy, markCopy, openCopy } from './copy-state.ts';
import { copyAppended, copyClaim, proveSame, smallObject, type Sides } from './copy-taken.ts';
import { layout, readGeneration } from './layout.ts';
import { partsOf } from './rewraps.ts';
import { readToEnd } from './seal.ts';

/** What a copy came to. */
export interface Copied {
  readonly storedObjects: number;
  readonly storedBytes: number;
  /** How many objects of the copy were read back and compared. */
  readonly readBack: number;
  /** It was not whole before. */
  readonly isNew: boolean;
  /** The first object that is damaged at the original and was left out, where that is no reason to fail. */
  readonly damaged?: Failure | undefined;
}

/** How a copy that is made beside everything else differs: by and by, and from what can still be read. */
export interface CopyManner {
  /** Asked between two objects; then the copy fails with `busy`, and goes on another time. */
  readonly isEnough: () => boolean;
}

/** Told what is being done, and how many bytes of it are done. */
export interface CopyWatch {
  readonly signal: AbortSignal;
  copied(bytes: number): void;
  readBack(bytes: number): void;
}

/** What is larger goes alone, so that memory is that of one. */
const smallBytes = 8 * 1024 * 1024;
const mostAtOnce = 4;
/** So many objects may come while the last round goes on: what archiving adds is for the next copy, or the next owner. */
const fewObjects = 16;
const mostRounds = 10;

/**
 * Copies a repository to another place, while it is written to and pruned. May be killed at any moment and run again.
 *
 * Claims go first, then data, then the records that make data count, and `repository.json` last of all: before it nothing
 * opens the copy. Each object's bytes are proven on the way as far as anything says what they must be; a copy that was not
 * whole before is read back as well. Fails with `damaged` where the original is, with `conflict` where the copy has something
 * else under a name, and then the copy stays what it was: unusable, or as good as before.
 */
export async function copyRepository(sides: Sides, watch: CopyWatch, manner?: CopyManner): Promise<Copied> {
  const isNew = (await lookAtCopy(sides.original, sides.copy)) !== 'whole';
  if (isNew) await markCopy(sides);
  const run = new CopyRun(sides, watch, manner);
  for (let round = 1; round <= mostRounds; round += 1) {
    const [before, goneBefore] = [run.storedObjects, run.goneObjects];
    await run.round();
    // The first finds what was there when it began; the second proves it, and brings what came meanwhile.
    const isSettled = run.storedObjects - before <= fewObjects && run.goneObjects === goneBefore;
    if (round > 1 && isSettled) break;
  }
  const damaged = run.damaged();
  if (damaged !== undefined && manner === undefined) throw damaged;
  const readBack = isNew && manner === undefined ? await run.readBack() : 0;
  await openCopy(sides);
  const { storedObjects, storedBytes } = run;
  return { storedObjects, storedBytes, readBack, isNew, ...(damaged === undefined ? {} : { damaged }) };
}

class CopyRun {
  readonly #sides: Sides;
  readonly #watch: CopyWatch;
  readonly #manner: CopyManner | undefined;
  readonly #damaged = new Map<string, Failure>();
  /** What the records say of the stored bytes of base backups. */
  readonly #parts = new Map<string, Part>();
  storedObjects = 0;
  storedBytes = 0;
  /** Encrypted objects that were listed and not there any more: pruned, or in their next generation since. */
  goneObjects = 0;

  constructor(sides: Sides, watch: CopyWatch, manner: CopyManner | undefined) {
    this.#sides = sides;
    this.#watch = watch;
    this.#manner = manner;
  }

  /** Brings over everything that is in the original when it begins. */
  async round(): Promise<void> {
    const claimed = await this.#claims();
    const isWanted = (key: string): boolean => {
      const incarnation = incarnationOf(key);
      return incarnation === undefined || claimed.has(incarnation);
    };
    // Listed before the data: what they speak of was there before them.
    const records: string[] = [];
    for await (const { key } of this.#sides.original.storage.list('')) {
      if (['replaced', 'record', 'appended'].includes(copyClass(key)) && isWanted(key)) records.push(key);
    }
    records.sort((a, b) => order(a) - order(b) || (a < b ? 1 : -1));
    const folders = await this.#readRecords(records);
    await this.#data((key) => isWanted(key) && folders.has(recordFolder(key) ?? ''));
    for (const key of records) await this.#record(key);
  }

  damaged(): Failure | undefined {
    const [first] = this.#damaged.values();
    if (first === undefined) return undefined;
    const more = this.#damaged.size === 1 ? '' : `, and ${this.#damaged.size - 1} more objects`;
    return new Failure('damaged', `${first.message}${more}; all else was copied`, {
      hint: 'Look for disk errors at the original. Move what is damaged aside there, then run the same copy again.',
      cause: first,
    });
  }

  /** Reads all of the copy whose bytes anything proves; says how many objects those are. */
  async readBack(): Promise<number> {
    const { copy } = this.#sides;
    let [objects, bytes] = [0, 0];
    const several = new AtOnce(mostAtOnce);
    for await (const { key, sizeBytes } of copy.list('')) {
      const part = this.#parts.get(key);
      if (!isProvable(key, part)) continue;
      this.#failIfStopped();
      await beginSized(several, sizeBytes, async () => {
        await this.#prove(key, part);
        objects += 1;
        bytes += sizeBytes;
        this.#watch.readBack(bytes);
      });
    }
    await several.end();
    return objects;
  }

  async #prove(key: string, part: Part | undefined): Promise<void> {
    const { copy } = this.#sides;
    try {
      await readToEnd(proven(await copy.get(key), key, part));
    } catch (error) {
      if (!isFailure(error, 'damaged')) throw error;
      throw new Failure('damaged', `${error.message}, at ${copy.url}`, {
        hint: `Look for disk errors there. Remove ${key} from the copy, then run the same copy again.`,
        cause: error,
      });
    }
  }

  async #claims(): Promise<ReadonlySet<string>> {
    const { original } = this.#sides;
    const claimed = new Set<string>();
    for (const cluster of await original.storage.folders(layout.clusters)) {
      if (!/^\d+\/$/.test(cluster)) continue;
      for (const number of await original.storage.folders(layout.clusters + cluster)) {
        if (!/^\d+\/$/.test(number)) continue;
        const folder = layout.clusters + cluster + number;
        const key = `${folder}owner.json`;
        if (await copyClaim(this.#sides, key)) this.storedObjects += 1;
        if ((await smallObject(original.read(key), key)) !== undefined) claimed.add(folder);
      }
    }
    return claimed;
  }

  /** The folders whose record is there; what a record can't be read for is copied unproven, and stays what it is. */
  async #readRecords(records: readonly string[]): Promise<ReadonlySet<string>> {
    const folders = new Set<string>(['']);
    this.#parts.clear(); // What was encrypted anew since has other ones.
    for (const key of records) {
      if (copyClass(key) !== 'record') continue;
      folders.add(folderOf(key));
      if (!key.endsWith('/backup.json')) continue;
      try {
        for (const part of await partsOf(this.#sides.original, key)) this.#parts.set(folderOf(key) + part.name, part);
      } catch (error) {
        if (!isFailure(error, 'damaged')) throw error;
      }
    }
    return folders;
  }

  async #data(isWanted: (key: string) => boolean): Promise<void> {
    const { original, copy } = this.#sides;
    const several = new AtOnce(mostAtOnce);
    const listings = compareListings(original.storage.list(''), copy.list(''));
    for await (const { key, sizeBytes, there } of listings) {
      if (copyClass(key) !== 'data' || there === sizeBytes || this.#damaged.has(key) || !isWanted(key)) continue;
      this.#failIfStopped();
      this.#failIfEnough();
      await beginSized(several, sizeBytes, async () => {
        if (there === undefined) await this.#object(key);
        else await proveSame(this.#sides, key);
      });
    }
    await several.end();
  }

  /** Copies one object. One that is gone by now was pruned; one that is damaged is remembered, and the others go on. */
  async #object(key: string): Promise<void> {
    const { original, copy } = this.#sides;
    try {
      await copy.put(key, this.#counted(proven(await original.read(key), key, this.#parts.get(key))));
      this.storedObjects += 1;
    } catch (error) {
      if (isFailure(error, 'conflict')) await proveSame(this.#sides, key);
      else if (error instanceof Failure && error.kind === 'damaged') this.#damaged.set(key, error);
      else if (!isFailure(error, 'missing')) throw error;
      else if (readGeneration(key) !== undefined) this.goneObjects += 1;
    }
  }

  async *#counted(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const chunk of body) {
      this.#failIfStopped();
      this.storedBytes += chunk.byteLength;
      this.#watch.copied(this.storedBytes);
      yield chunk;
    }
  }

  /** Copies one record, where what it speaks of is in the copy. */
  async #record(key: string): Promise<void> {
    this.#failIfStopped();
    this.#failIfEnough();
    if (copyClass(key) === 'appended') {
      if (await copyAppended(this.#sides, key)) this.storedObjects += 1;
      return;
    }
    if (await this.#isThere(key)) return;
    const isReady = copyClass(key) === 'replaced' ? this.#hasParts(recordFolder(key) ?? '') : this.#hasItsData(key);
    if (await isReady) await this.#object(key);
  }

  async #isThere(key: string): Promise<boolean> {
    const name = key.slice(folderOf(key).length);
    return (await this.#sides.copy.folders(folderOf(key), key)).includes(name);
  }

  /**
   * Everything that lay beside the record when the original still had it. A prune removes the record first, so that what
   * was removed since shows by the record's own absence, when it is read.
   */
  async #hasItsData(record: string): Promise<boolean> {
    const { original, copy } = this.#sides;
    const folder = folderOf(record);
    for await (const { key, sizeBytes, there } of compareListings(original.storage.list(folder), copy.list(folder))) {
      if (key !== record && there !== sizeBytes) return false;
    }
    return await this.#hasParts(folder);
  }

  /** All that a backup consists of now; of one that can't be read nothing is known, and its records stay what they are. */
  async #hasParts(folder: string): Promise<boolean> {
    const sizes = new Map<string, number>();
    for await (const { key, sizeBytes } of this.#sides.copy.list(folder)) sizes.set(key, sizeBytes);
    const parts = [...this.#parts].filter(([key]) => key.startsWith(folder));
    return parts.every(([key, { sizeBytes }]) => sizes.get(key) === sizeBytes);
  }

  #failIfEnough(): void {
    if (this.#manner?.isEnough() !== true) return;
    throw new Failure('busy', 'the copy goes on another time', { hint: 'The same copy again goes on where it ended.' });
  }

  #failIfStopped(): void {
    if (!this.#watch.signal.aborted) return;
    throw new Failure('machine', 'the copy was stopped', { hint: 'The same copy again goes on where it ended.' });
  }
}

/** Begins work with an object beside other small ones, or with nothing else under way. */
async function beginSized(several: AtOnce, sizeBytes: number, work: () => Promise<void>): Promise<void> {
  const isLarge = sizeBytes > smallBytes;
  if (isLarge) await several.end();
  await several.begin(work);
  if (isLarge) await several.end();
}

/** What says which data counts goes before the record that makes it count, the newest first: older ones may speak of what is gone. */
function order(key: string): number {
  return copyClass(key) === 'replaced' ? 0 : 1;
}
