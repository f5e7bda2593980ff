import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { Failure, type FailureKind } from '../core/failure.ts';
import { errorCode, namesIn, readJson, removeFile, syncDirectory, writeJson } from './files.ts';

/** One of two destinations: that of the option `destination`, or of `destination-2`. */
export type Side = 'first' | 'second';

/** An object that one destination lacks and the other has. */
const entrySchema = z.object({ sizeBytes: z.number().int().nonnegative(), since: z.iso.datetime(), lies: z.string() });
export type Lacked = z.infer<typeof entrySchema>;

/** Why nothing is sent to a destination for now; it counts for some minutes, unless somebody finds the same again. */
const awaySchema = z.object({
  at: z.iso.datetime(),
  since: z.iso.datetime(),
  kind: z.string(),
  message: z.string(),
  hint: z.string().nullable(),
});
export type Away = z.infer<typeof awaySchema>;

/** The second destination that has all that the first had at a moment. */
const filledSchema = z.object({ url: z.string(), repositoryId: z.string(), at: z.iso.datetime() });
export type Filled = z.infer<typeof filledSchema>;

/** So long a note counts that a destination is away: who keeps it fresh tries once a minute. */
const awayMs = 3 * 60_000;
/** What is beyond is found again by a comparison of everything. */
const mostEntries = 20_000;
const countEvery = 200;

/**
 * `<unit folder>/second/`: what either of two destinations lacks, one durable file for each object, and how they are.
 *
 * Several processes write here. An entry is durable before anybody is told that the object is stored, and is dropped only
 * after the object was found where it was lacking, or is nowhere any more.
 */
export class LackingFolder {
  readonly path: string;
  readonly #counts = new Map<Side, { added: number; count: number }>();

  constructor(unitPath: string) {
    this.path = join(unitPath, 'second');
  }

  /** Makes it durable that a side lacks an object. Fails with `unavailable` where the first lacks more than may be. */
  async add(side: Side, key: string, entry: { readonly sizeBytes: number; readonly lies: string }): Promise<void> {
    const folder = await this.#makeFolder(side);
    const path = join(folder, nameOf(key));
    if ((await readJson(path, entrySchema)) !== undefined) return await syncDirectory(folder);
    if ((await this.#count(side)) >= mostEntries) return await this.#overflow(side);
    await writeJson(path, entrySchema, { ...entry, since: new Date().toISOString() });
  }

  /** The keys of what a side lacks, in the order of their bytes. */
  async keys(side: Side): Promise<readonly string[]> {
    const names = await namesIn(join(this.path, side));
    return names
      .filter((name) => !name.startsWith('.'))
      .map(keyOf)
      .toSorted();
  }

  /** What is known of an object that a side lacks; `undefined` where it is not said to. */
  async entry(side: Side, key: string): Promise<Lacked | undefined> {
    return await readJson(join(this.path, side, nameOf(key)), entrySchema);
  }

  async drop(side: Side, key: string): Promise<void> {
    await this.#removeIfThere(join(this.path, side, nameOf(key)));
  }

  /** Why a side is left alone at this moment; `undefined` where nothing says that it should be. */
  async away(side: Side, now: Date = new Date()): Promise<Away | undefined> {
    const note = await this.awayNote(side);
    return note !== undefined && now.getTime() - Date.parse(note.at) < awayMs ? note : undefined;
  }

  /** What was noted last, however old. */
  async awayNote(side: Side): Promise<Away | undefined> {
    return await readJson(this.#awayFile(side), awaySchema);
  }

  /** Leaves a side alone for some minutes. */
  async setAway(side: Side, failure: { kind: FailureKind; message: string; hint: string | undefined }): Promise<void> {
    await this.#makeFolder(side);
    const at = new Date().toISOString();
    const since = (await this.awayNote(side))?.since ?? at;
    const { kind, message, hint } = failure;
    await writeJson(this.#awayFile(side), awaySchema, { at, since, kind, message, hint: hint ?? null });
  }

  async clearAway(side: Side): Promise<void> {
    await this.#removeIfThere(this.#awayFile(side));
  }

  /** The second destination that was filled; `undefined` as long as everything has to be compared. */
  async filled(): Promise<Filled | undefined> {
    if ((await namesIn(this.path)).includes('overflow')) return undefined;
    return await this.lastFilled();
  }

  /** The one that was filled once, whatever came after. */
  async lastFilled(): Promise<Filled | undefined> {
    return await readJson(join(this.path, 'filled.json'), filledSchema);
  }

  /** Says that a comparison of everything begins; what overflows from now on makes another one needed. */
  async beginFilling(): Promise<void> {
    await this.#removeIfThere(join(this.path, 'overflow'));
  }

  /** Forgets everything about the second destination, which nobody wants any more; says how many objects it lacked. */
  async forgetSecond(): Promise<number> {
    const keys = await this.keys('second');
    for (const key of keys) await this.drop('second', key);
    await this.clearAway('second');
    // From now on nobody notes what it lacks: whoever wants it again compares everything.
    await this.#removeIfThere(join(this.path, 'filled.json'));
    await this.#removeIfThere(join(this.path, 'overflow'));
    return keys.length;
  }

  async setFilled(filled: Filled): Promise<void> {
    await this.#makeFolder('second');
    await writeJson(join(this.path, 'filled.json'), filledSchema, filled);
  }

  async #overflow(side: Side): Promise<void> {
    if (side === 'first') {
      throw new Failure('unavailable', `more than ${mostEntries} objects lie at the second destination only`, {
        hint: 'Bring the destination back: what waits goes on by itself then.',
      });
    }
    await writeJson(join(this.path, 'overflow'), z.object({}), {});
  }

  /** Counted now and then: it only has to be about right. */
  async #count(side: Side): Promise<number> {
    const known = this.#counts.get(side);
    if (known !== undefined && known.added < countEvery) {
      known.added += 1;
      return known.count + known.added;
    }
    const { length } = await readdir(join(this.path, side));
    this.#counts.set(side, { added: 0, count: length });
    return length;
  }

  #awayFile(side: Side): string {
    return join(this.path, `${side}-away.json`);
  }

  async #removeIfThere(path: string): Promise<void> {
    try {
      await removeFile(path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }

  async #makeFolder(side: Side): Promise<string> {
    const folder = join(this.path, side);
    try {
      const made = await mkdir(folder, { recursive: true, mode: 0o700 });
      if (made !== undefined) {
        await syncDirectory(this.path);
        await syncDirectory(join(this.path, '..'));
      }
    } catch (error) {
      throw new Failure('machine', `${folder} could not be made: ${errorCode(error) ?? String(error)}`, {
        cause: error,
      });
    }
    return folder;
  }
}

/** A key as the name of one file: no key holds a plus. */
function nameOf(key: string): string {
  return key.replaceAll('/', '+');
}

function keyOf(name: string): string {
  return name.replaceAll('+', '/');
}
