import * as z from 'zod';
import { Failure, isFailure } from '../core/failure.ts';
import { noEncryption, type Encryption } from '../core/encryption.ts';
import { repositorySchema, type RepositoryRecord } from '../core/record.ts';
import type { Storage } from '../storage/storage.ts';
import { formatJson, parseJson, randomName } from '../system/files.ts';
import { makeKeys, type Keys } from './keys.ts';
import { layout } from './layout.ts';
import { readmeText } from './readme-text.ts';
import { bytesOf, collect, putUnlessThere } from './small-object.ts';

/** Far above what any JSON object of ours needs: a listing of 100,000 files of a file set is 20 MiB. */
const jsonLimit = 64 * 1024 * 1024;

const anyFormatSchema = z.object({ format: z.number().int() });

/**
 * An open repository: a storage whose `repository.json` has been read and compared.
 *
 * Its own reads tell "absent" from "not the repository any more": before `missing` leaves here, the repository's own record
 * has been found in its place again.
 */
export interface Repository {
  readonly storage: Storage;
  readonly record: RepositoryRecord;
  /** What its secret objects are stored and opened with. */
  readonly keys: Keys;

  /** The object's bytes. `missing` is a positive answer. */
  read(key: string, range?: { start: number; end: number }): Promise<AsyncIterable<Uint8Array>>;

  /** A JSON object of ours; `undefined` when it is positively absent, `damaged` when it can't be read as what it should be. */
  readJson<S extends z.ZodType>(key: string, schema: S): Promise<z.output<S> | undefined>;

  /** Stores a JSON object, once. Fails with `conflict` when the key exists, even with the same contents. */
  writeJson<S extends z.ZodType>(key: string, schema: S, value: z.output<S>): Promise<void>;
}

/**
 * Opens the repository at a storage.
 *
 * Fails with `missing` when there is none and with `conflict` when it is another one than `expectedId`.
 */
export async function openRepository(
  storage: Storage,
  expectedId: string | undefined,
  encryption: Encryption = noEncryption,
): Promise<Repository> {
  const record = await readRecord(storage);
  if (expectedId !== undefined && record.id !== expectedId) throw otherRepository(storage, record.id, expectedId);
  return makeRepository(storage, record, makeKeys(record, storage.url, encryption));
}

/**
 * Creates the repository, or opens the one that is there; two that create at once get the same one. With recipients it is
 * encrypted from its first object to its last. Fails before anything is made where a recipient is not proven.
 */
export async function createRepository(
  storage: Storage,
  now: Date,
  encryption: Encryption = noEncryption,
): Promise<{ repository: Repository; created: boolean }> {
  for await (const { key } of storage.list('')) {
    if (key === layout.repository || key === layout.readme) continue;
    if (await exists(storage, layout.repository)) break;
    throw new Failure(
      'refused',
      `the destination ${storage.url} is not empty and holds no repository (it has ${key})`,
      {
        hint: 'Use an empty directory: other files could be mistaken for ours, and ours for them.',
      },
    );
  }
  const record: RepositoryRecord = {
    format: 1,
    product: 'landscape-backup',
    id: randomName(16),
    createdAt: now,
    encryption: encryption.recipients.length > 0 ? 'age' : 'none',
  };
  makeKeys(record, storage.url, encryption).recipients();
  await putUnlessThere(storage, layout.readme, readmeText);
  const created = await putUnlessThere(storage, layout.repository, formatJson(repositorySchema, record));
  return { repository: await openRepository(storage, created ? record.id : undefined, encryption), created };
}

async function exists(storage: Storage, key: string): Promise<boolean> {
  try {
    await text(storage, key);
    return true;
  } catch (error) {
    if (isFailure(error, 'missing')) return false;
    throw error;
  }
}

async function readRecord(storage: Storage): Promise<RepositoryRecord> {
  let found: string;
  try {
    found = await text(storage, layout.repository);
  } catch (error) {
    if (!isFailure(error, 'missing')) throw error;
    throw new Failure('missing', `there is no repository at ${storage.url}`, {
      hint: 'Is the right directory mounted there? If it is meant to be new: landscape-backup init',
      cause: error,
    });
  }
  const what = `${storage.url}/${layout.repository}`;
  const { format } = parseJson(found, anyFormatSchema, what);
  if (format > 1) {
    throw new Failure('refused', `the repository at ${storage.url} has format ${format}, this version knows format 1`, {
      hint: 'A newer landscape-backup wrote it: upgrade this one.',
    });
  }
  return parseJson(found, repositorySchema, what);
}

function otherRepository(storage: Storage, found: string, expected: string): Failure {
  return new Failure('conflict', `the repository at ${storage.url} is ${found}, this machine's is ${expected}`, {
    hint: 'Is another file system mounted there? To use this repository from now on: landscape-backup init --join',
  });
}

function makeRepository(storage: Storage, record: RepositoryRecord, keys: Keys): Repository {
  const confirmThere = async (): Promise<void> => {
    let now: RepositoryRecord;
    try {
      now = await readRecord(storage);
    } catch (error) {
      if (!isFailure(error, 'missing')) throw error;
      throw new Failure('unavailable', `the repository at ${storage.url} is gone`, {
        hint: 'Is the file system still mounted there?',
        cause: error,
      });
    }
    if (now.id !== record.id) throw otherRepository(storage, now.id, record.id);
  };
  const read: Repository['read'] = async (key, range) => {
    try {
      return await storage.get(key, range);
    } catch (error) {
      if (isFailure(error, 'missing')) await confirmThere();
      throw error;
    }
  };
  return {
    storage,
    record,
    keys,
    read,
    readJson: async (key, schema) => {
      try {
        return parseJson(await textOf(await read(key), key), schema, `${storage.url}/${key}`);
      } catch (error) {
        if (isFailure(error, 'missing')) return undefined;
        throw error;
      }
    },
    writeJson: async (key, schema, value) => {
      await storage.put(key, bytesOf(formatJson(schema, value)));
    },
  };
}

async function text(storage: Storage, key: string): Promise<string> {
  return await textOf(await storage.get(key), key);
}

async function textOf(body: AsyncIterable<Uint8Array>, key: string): Promise<string> {
  return (await collect(body, key, jsonLimit)).toString('utf8');
}
