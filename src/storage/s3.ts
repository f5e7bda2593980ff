import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3';
import type { S3Access } from '../core/destination-access.ts';
import type { S3Destination } from '../core/destination.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { randomName } from '../system/files.ts';
import type { Pace } from './pace.ts';
import { S3Bucket } from './s3-bucket.ts';
import { S3Asker, usualPatience, type S3Patience } from './s3-client.ts';
import { s3Failure } from './s3-failure.ts';
import { abortStale, isObjectName, pages, removeProbes } from './s3-listing.ts';
import { knowsConditionalComplete, proveConditionalPut } from './s3-probe.ts';
import { inPieces, pieceBytes, putInParts, putSmall, putSpooled, type PutEnd } from './s3-put.ts';
import { beginRead, readOn } from './s3-read.ts';
import { remarksOnRules } from './s3-rules.ts';
import { beginningWanted, checkKey, type Range, type Remark, type Storage, type StoredObject } from './storage.ts';

interface S3Options {
  readonly access: S3Access;
  /** Asked where the store says no to the keys. */
  readonly reread: () => Promise<S3Access>;
  readonly privateFolder: string;
  readonly patience?: S3Patience;
}

/**
 * Opens a bucket of an S3 store as a destination; it must exist.
 *
 * Objects are made by requests with `If-None-Match: *`, which a store must keep even between two writers who come at once;
 * that is tried before the first put of a process. What the store acknowledges counts as durable.
 */
export async function openS3(destination: S3Destination, options: S3Options): Promise<Storage> {
  const asker = new S3Asker(options, options.patience ?? usualPatience);
  const bucket = new S3Bucket(destination, asker);
  try {
    await bucket.said('', touch(bucket));
    return new S3(bucket, options);
  } catch (error) {
    asker.close();
    throw error;
  }
}

/** Asks the bucket for next to nothing. */
async function touch(bucket: S3Bucket): Promise<void> {
  const command = new ListObjectsV2Command({ Bucket: bucket.name, Prefix: bucket.prefix, MaxKeys: 1 });
  await bucket.asker.ask(async (client) => await client.send(command));
}

class S3 implements Storage {
  readonly url: string;
  readonly #bucket: S3Bucket;
  readonly #privateFolder: string;
  readonly #endpoint: string | undefined;

  constructor(bucket: S3Bucket, { privateFolder, access }: S3Options) {
    this.url = bucket.url;
    this.#bucket = bucket;
    this.#privateFolder = privateFolder;
    this.#endpoint = access.endpoint;
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, pace?: Pace): Promise<void> {
    checkKey(key);
    const pieces = inPieces(body);
    try {
      const first = await pieces.next();
      const bytes = first.done === true ? Buffer.alloc(0) : first.value;
      const end = await this.#said(key, this.#store(this.#bucket.prefix + key, { first: bytes, rest: pieces, pace }));
      if (end === 'taken') throw new Failure('conflict', `${this.url}/${key} exists already`);
    } finally {
      await pieces.return(undefined);
    }
  }

  async get(key: string, range?: Range): Promise<AsyncIterable<Uint8Array>> {
    checkKey(key);
    const full = this.#bucket.prefix + key;
    const begun = await this.#said(key, beginRead(this.#bucket, full, range));
    if (begun === 'missing') throw new Failure('missing', `${this.url}/${key} is not there`);
    return begun === 'empty' ? nothing() : readOn(this.#bucket, full, begun);
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    try {
      for await (const { Contents = [] } of pages(this.#bucket, this.#bucket.prefix + prefix)) {
        for (const { Key = '', Size = 0 } of Contents) {
          const key = Key.slice(this.#bucket.prefix.length);
          if (isObjectName(key)) yield { key, sizeBytes: Size };
        }
      }
    } catch (error) {
      throw s3Failure(error, this.url);
    }
  }

  async folders(prefix: string, of?: string): Promise<readonly string[]> {
    const full = this.#bucket.prefix + prefix;
    const wanted = this.#bucket.prefix + beginningWanted(prefix, of);
    const names: string[] = [];
    const collect = async () => {
      for await (const { Contents = [], CommonPrefixes = [] } of pages(this.#bucket, wanted, '/')) {
        for (const { Key = '' } of Contents) names.push(Key.slice(full.length));
        for (const { Prefix = '' } of CommonPrefixes) names.push(Prefix.slice(full.length));
      }
    };
    await this.#said(prefix, collect());
    return names.filter((name) => isObjectName(name.replace(/\/$/, ''))).sort();
  }

  async remove(key: string): Promise<void> {
    checkKey(key);
    const command = new DeleteObjectCommand(this.#bucket.at(this.#bucket.prefix + key));
    await this.#said(
      key,
      this.#bucket.asker.ask(async (client) => await client.send(command)),
    );
  }

  async sweep(prefix: string, before: Date): Promise<number> {
    const full = this.#bucket.prefix + prefix;
    const aborted = await this.#said(prefix, abortStale(this.#bucket, full, before));
    return aborted + (await this.#said(prefix, removeProbes(this.#bucket, full, before)));
  }

  async freeBytes(): Promise<undefined> {
    return undefined; // A store tells of no end.
  }

  async clock(): Promise<Date> {
    await this.#said('', touch(this.#bucket));
    const { time } = this.#bucket.asker;
    if (time !== undefined) return time;
    throw new Failure('unavailable', `${this.url}: the store does not say what time it is`);
  }

  async mayPut(prefix: string): Promise<boolean> {
    const at = this.#bucket.at(`${this.#bucket.prefix}${prefix}.probe-${randomName()}`);
    const { asker } = this.#bucket;
    try {
      // An upload that is never completed needs the right to put, and leaves nothing.
      const begun = asker.ask(async (client) => await client.send(new CreateMultipartUploadCommand(at)));
      const { UploadId } = await this.#said(prefix, begun);
      const abort = new AbortMultipartUploadCommand({ ...at, UploadId });
      await asker.ask(async (client) => await client.send(abort)).catch(() => undefined); // A rest is swept later.
      return true;
    } catch (error) {
      if (isFailure(error, 'refused')) return false;
      throw error;
    }
  }

  async remarks(): Promise<readonly Remark[]> {
    const rules = await this.#said('', remarksOnRules(this.#bucket));
    const inParts = await this.#said('', knowsConditionalComplete(this.#bucket, this.#where));
    return [
      ...rules,
      ...(inParts ? [] : [{ is: 'note', text: this.#spoolNote } as const]),
      ...(this.#endpoint?.startsWith('http://') === true ? [inClear] : []),
    ];
  }

  async close(): Promise<void> {
    this.#bucket.asker.close();
  }

  async #store(key: string, { first, rest, pace }: Pieces): Promise<PutEnd> {
    await proveConditionalPut(this.#bucket, this.#where);
    if (first.byteLength < pieceBytes) {
      await pace?.take(first.byteLength);
      return await putSmall(this.#bucket, key, first);
    }
    const pieces = this.#pieces(first, rest);
    if (await knowsConditionalComplete(this.#bucket, this.#where)) {
      return await putInParts(this.#bucket, key, pieces, pace);
    }
    return await putSpooled(this.#bucket, key, pieces, { folder: this.#privateFolder, pace });
  }

  async *#pieces(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
    yield first;
    yield* rest;
  }

  get #where(): string {
    return `${this.#endpoint ?? ''} ${this.url}`;
  }

  get #spoolNote(): string {
    return `this store refuses to overwrite only what comes in one request, so objects of more than 8 MiB pass through a file in ${this.#privateFolder}, a base backup in parts of 256 MiB`;
  }

  async #said<T>(key: string, asked: Promise<T>): Promise<T> {
    return await this.#bucket.said(key, asked);
  }
}

/** A body as it is stored: its first piece says whether there are more. */
interface Pieces {
  readonly first: Buffer;
  readonly rest: AsyncGenerator<Buffer>;
  readonly pace: Pace | undefined;
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // A range behind the end.
}

const inClear: Remark = {
  is: 'note',
  text: 'the endpoint is http: whoever is on the way to the store can read what is stored',
};
