import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { Readable } from 'node:stream';
import { Failure } from '../core/failure.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { isS3Refusal, isTaken, s3Failure } from './s3-failure.ts';
import type { Range } from './storage.ts';

/** An answer that has begun: a stretch of an object. */
interface Begun {
  readonly stream: Readable;
  readonly start: number;
  /** Behind its last byte. */
  readonly end: number;
  readonly etag: string | undefined;
}

/** Begins to read; `missing` where the store positively has no such object, `empty` where the range lies behind its end. */
export async function beginRead(
  bucket: S3Bucket,
  key: string,
  range: Range | undefined,
): Promise<Begun | 'missing' | 'empty'> {
  try {
    // HTTP has no empty range: one byte is asked for, to learn whether there is an object.
    const isEmpty = range !== undefined && range.end <= range.start;
    const wanted = range !== undefined && isEmpty ? { start: range.start, end: range.start + 1 } : range;
    const begun = await request(bucket, key, wanted, undefined);
    if (!isEmpty) return begun;
    begun.stream.destroy();
    return 'empty';
  } catch (error) {
    if (isS3Refusal(error, 'NoSuchKey')) return 'missing';
    if (isS3Refusal(error, 'InvalidRange')) return 'empty';
    throw error;
  }
}

async function request(
  bucket: S3Bucket,
  key: string,
  range: Range | undefined,
  etag: string | undefined,
): Promise<Begun> {
  const Range = range === undefined ? undefined : `bytes=${range.start}-${range.end - 1}`;
  const command = () => new GetObjectCommand({ ...bucket.at(key), Range, IfMatch: etag });
  const answer = await bucket.asker.ask(async (client) => await client.send(command()));
  return begunOf(answer, range, bucket);
}

function begunOf(answer: GetObjectCommandOutput, range: Range | undefined, { url }: S3Bucket): Begun {
  const { Body: stream, ContentLength: length, ContentRange: told, ETag: etag } = answer;
  if (!(stream instanceof Readable) || length === undefined) {
    throw new Failure('unavailable', `${url}: the store gave an object without a length`);
  }
  const start = range?.start ?? 0;
  // A store that ignores the range would give other bytes than were asked for.
  if (range !== undefined && !(told ?? '').startsWith(`bytes ${start}-`)) {
    stream.destroy();
    throw new Failure('refused', `${url}: the store does not know ranges`, { hint: 'Use another store.' });
  }
  return { stream, start, end: start + length, etag };
}

/** The bytes of an answer that has begun. Where it breaks off or falls silent, the rest is asked for anew. */
export async function* readOn(bucket: S3Bucket, key: string, first: Begun): AsyncGenerator<Uint8Array> {
  const { attempts, silenceMs } = bucket.asker.patience;
  let position = first.start;
  let begun = first;
  for (let attempt = 1; ; attempt += 1) {
    try {
      for await (const chunk of watched(begun.stream, silenceMs)) {
        position += chunk.byteLength;
        attempt = 1;
        yield chunk;
      }
    } catch (error) {
      if (attempt >= attempts) throw brokenOff(bucket, key, error);
    } finally {
      begun.stream.destroy();
    }
    if (position >= first.end) return;
    if (attempt >= attempts) throw brokenOff(bucket, key, 'the answer ended too early');
    begun = await goOn(bucket, key, { start: position, end: first.end }, first.etag);
  }
}

async function goOn(bucket: S3Bucket, key: string, range: Range, etag: string | undefined): Promise<Begun> {
  try {
    return await request(bucket, key, range, etag);
  } catch (error) {
    if (!isTaken(error) && !isS3Refusal(error, 'NoSuchKey', 'InvalidRange')) throw s3Failure(error, bucket.url);
    throw new Failure('unavailable', `${bucket.url}: ${key} was removed or replaced while it was read`);
  }
}

function brokenOff({ url }: S3Bucket, key: string, why: unknown): Failure {
  const text = why instanceof Error ? why.message : String(why);
  return new Failure('unavailable', `${url}: reading ${key} broke off again and again: ${text}`, {
    hint: 'Look at the network between this machine and the store.',
  });
}

/** A stream's chunks; it fails where none comes for so long. */
async function* watched(stream: Readable, silenceMs: number): AsyncGenerator<Uint8Array> {
  const silence = () => stream.destroy(new Error(`no byte for ${silenceMs / 1000} s`));
  let timer = setTimeout(silence, silenceMs);
  try {
    for await (const chunk of stream) {
      clearTimeout(timer);
      if (!(chunk instanceof Uint8Array)) throw new Error('the answer is no bytes');
      yield chunk; // However long the reader takes, it is not the store that is silent.
      timer = setTimeout(silence, silenceMs);
    }
  } finally {
    clearTimeout(timer);
  }
}
