import type * as z from 'zod';
import { Failure, isFailure } from '../core/failure.ts';
import type { Repository } from './repository.ts';

/** One record of a growing row, or `undefined` in the place of one that can't be read: what it protects stays protected. */
export interface NumberedRecord<T> {
  readonly number: number;
  readonly key: string;
  readonly value: T | undefined;
}

const digits = 8;
const attempts = 20;

/** The records below a prefix (`…/`), oldest first. The order is that of their numbers; no clock is asked. */
export async function readRecords<S extends z.ZodType>(
  repository: Repository,
  prefix: string,
  schema: S,
): Promise<readonly NumberedRecord<z.output<S>>[]> {
  const records: NumberedRecord<z.output<S>>[] = [];
  for (const { number, key } of await listRecords(repository, prefix)) {
    records.push({ number, key, value: await readRecord(repository, key, schema) });
  }
  return records;
}

/** The newest record below a prefix, or `undefined` when there positively is none. */
export async function newestRecord<S extends z.ZodType>(
  repository: Repository,
  prefix: string,
  schema: S,
): Promise<NumberedRecord<z.output<S>> | undefined> {
  const newest = (await listRecords(repository, prefix)).at(-1);
  return newest === undefined ? undefined : { ...newest, value: await readRecord(repository, newest.key, schema) };
}

/** Appends a record: creates the next number, and the one after when somebody else was faster. Says which it became. */
export async function appendRecord<S extends z.ZodType>(
  repository: Repository,
  prefix: string,
  schema: S,
  value: z.output<S>,
): Promise<number> {
  let number = ((await listRecords(repository, prefix)).at(-1)?.number ?? 0) + 1;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    try {
      await repository.writeJson(recordKey(prefix, number), schema, value);
      return number;
    } catch (error) {
      if (!isFailure(error, 'conflict')) throw error;
      number += 1;
    }
  }
  throw new Failure('busy', `others append to ${prefix} all the time`, { hint: 'Try again in a minute.' });
}

async function listRecords(
  repository: Repository,
  prefix: string,
): Promise<readonly { number: number; key: string }[]> {
  const found: { number: number; key: string }[] = [];
  for (const name of await repository.storage.folders(prefix)) {
    const match = /^(\d{8})\.json$/.exec(name);
    if (match !== null) found.push({ number: Number(match[1]), key: prefix + name });
  }
  return found.sort((a, b) => a.number - b.number);
}

function recordKey(prefix: string, number: number): string {
  return `${prefix}${String(number).padStart(digits, '0')}.json`;
}

/** A record that is damaged, or that has been swept since it was listed, reads as `undefined`. */
async function readRecord<S extends z.ZodType>(
  repository: Repository,
  key: string,
  schema: S,
): Promise<z.output<S> | undefined> {
  try {
    return await repository.readJson(key, schema);
  } catch (error) {
    if (isFailure(error, 'damaged')) return undefined;
    throw error;
  }
}
