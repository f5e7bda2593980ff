import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Failure, toFailure } from '../core/failure.ts';
import { randomName } from '../system/files.ts';
import { giveBack } from '../system/memory.ts';
import { atPace, type Pace } from './pace.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { isS3Refusal, isTaken } from './s3-failure.ts';
import { Spool } from './s3-spool.ts';

/** What one request carries at most, and what is held in memory of one object at once: three of them, and one that fills. */
export const pieceBytes = 8 * 1024 * 1024;
const underWay = 3;
const mostPieces = 10_000;

/** What becomes of a put: `taken` where the key belongs to another object. */
export type PutEnd = 'stored' | 'taken';

/** A body in buffers of `pieceBytes`, the last one shorter, so that none says the end by itself. */
export async function* inPieces(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let chunks: Uint8Array[] = [];
  let copies: Uint8Array[] = [];
  let held = 0;
  const piece = (end: Uint8Array) => {
    const whole = Buffer.concat([...chunks, end]);
    copies.forEach(giveBack);
    [chunks, copies, held] = [[], [], 0];
    return whole;
  };
  for await (let chunk of body) {
    while (held + chunk.byteLength >= pieceBytes) {
      const room = pieceBytes - held;
      yield piece(chunk.subarray(0, room));
      chunk = chunk.subarray(room);
    }
    if (chunk.byteLength === 0) continue;
    held += chunk.byteLength;
    if (chunk.byteLength < chunk.buffer.byteLength) {
      // A small view would keep the whole buffer that it is cut from.
      chunk = Uint8Array.from(chunk);
      copies.push(chunk);
    }
    chunks.push(chunk);
  }
  yield piece(new Uint8Array());
}

/**
 * Sends a piece, and gives its memory back when the store has taken it: left to the garbage collector, pieces of some MiB
 * make it look through all of the program every few of them. Where it took another attempt, the first may still read it.
 */
async function sendPiece<T>(bucket: S3Bucket, piece: Uint8Array, send: (client: S3Client) => Promise<T>): Promise<T> {
  let attempts = 0;
  const answer = await bucket.asker.ask(async (client) => {
    attempts += 1;
    return await send(client);
  });
  if (attempts === 1) giveBack(piece);
  return answer;
}

/** Stores an object that fits into one request. */
export async function putSmall(bucket: S3Bucket, key: string, bytes: Buffer): Promise<PutEnd> {
  const writer = randomName(8);
  const command = () =>
    new PutObjectCommand({ ...bucket.at(key), Body: bytes, IfNoneMatch: '*', Metadata: { writer } });
  return await ended(bucket, key, writer, async () => {
    await sendPiece(bucket, bytes, async (client) => await client.send(command()));
  });
}

/** Stores an object of any length in parts, a few of them under way at once. */
export async function putInParts(
  bucket: S3Bucket,
  key: string,
  pieces: AsyncIterable<Buffer>,
  pace: Pace | undefined,
): Promise<PutEnd> {
  const writer = randomName(8);
  const at = bucket.at(key);
  const { UploadId } = await bucket.asker.ask(
    async (client) => await client.send(new CreateMultipartUploadCommand({ ...at, Metadata: { writer } })),
  );
  let end: PutEnd | undefined;
  try {
    const Parts = await uploadParts(bucket, { ...at, UploadId }, atPace(pieces, pace));
    const whole = { ...at, UploadId, IfNoneMatch: '*', MultipartUpload: { Parts } };
    end = await ended(bucket, key, writer, async () => {
      await bucket.asker.ask(async (client) => await client.send(new CompleteMultipartUploadCommand(whole)));
    });
    return end;
  } finally {
    if (end !== 'stored') {
      const abort = new AbortMultipartUploadCommand({ ...at, UploadId });
      await bucket.asker.ask(async (client) => await client.send(abort)).catch(() => undefined); // A rest is swept later.
    }
  }
}

async function uploadParts(
  bucket: S3Bucket,
  upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string | undefined },
  pieces: AsyncIterable<Uint8Array>,
): Promise<CompletedPart[]> {
  const parts: CompletedPart[] = [];
  const sending = new Set<Promise<void>>();
  const failures: Error[] = [];
  let number = 0;
  const settle = async (all: boolean) => {
    if (all) await Promise.all(sending);
    else if (sending.size >= underWay) await Promise.race(sending);
    const [first] = failures;
    if (first !== undefined) throw first;
  };
  try {
    for await (const Body of pieces) {
      if (Body.byteLength === 0) continue;
      number += 1;
      if (number > mostPieces) throw tooLong(bucket, upload.Key, mostPieces * pieceBytes);
      const part = { ...upload, PartNumber: number, Body };
      const sent = sendPiece(bucket, Body, async (client) => await client.send(new UploadPartCommand(part)))
        .then(({ ETag }) => {
          parts[part.PartNumber - 1] = { ETag, PartNumber: part.PartNumber };
        })
        .catch((error: unknown) => {
          failures.push(error instanceof Error ? error : toFailure(error));
        })
        .finally(() => sending.delete(sent));
      sending.add(sent);
      await settle(false);
    }
    await settle(true);
  } finally {
    await Promise.all(sending);
  }
  return parts;
}

const mostInOneRequest = 5 * 1024 ** 3;

/**
 * Stores an object of any length in one request, from a file on this machine: its length must be known before it begins.
 * For stores that know the condition there, and not where parts are put together. The pace is for what leaves the file.
 */
export async function putSpooled(
  bucket: S3Bucket,
  key: string,
  pieces: AsyncIterable<Buffer>,
  { folder, pace }: { readonly folder: string; readonly pace: Pace | undefined },
): Promise<PutEnd> {
  const writer = randomName(8);
  const spool = await Spool.open(folder);
  try {
    for await (const piece of pieces) {
      await spool.write(piece);
      giveBack(piece);
      if (spool.sizeBytes > mostInOneRequest) throw tooLong(bucket, key, mostInOneRequest);
    }
    const digest = spool.digest();
    return await ended(bucket, key, writer, async () => {
      await bucket.asker.ask(async (client) => {
        const stream = spool.read(pace);
        const object = { Body: stream, ContentLength: spool.sizeBytes, IfNoneMatch: '*', Metadata: { writer } };
        const command = new PutObjectCommand({ ...bucket.at(key), ...object });
        command.middlewareStack.add(signedDigest(digest), { step: 'build', name: 'landscapeBackupDigest' });
        try {
          // So much may take long; a connection on which nothing moves is still given up.
          await client.send(command, { requestTimeout: 0 });
        } finally {
          stream.destroy();
        }
      });
    });
  } finally {
    await spool.close();
  }
}

/** Lets the signature cover a stream's bytes, of which the library knows no digest. */
function signedDigest(digest: string) {
  return <Arguments extends { request: unknown }, Result>(next: (args: Arguments) => Promise<Result>) =>
    async (args: Arguments): Promise<Result> => {
      const { request } = args;
      if (typeof request === 'object' && request !== null && 'headers' in request) {
        Object.assign(request.headers ?? {}, { 'x-amz-content-sha256': digest });
      }
      return await next(args);
    };
}

function tooLong(bucket: S3Bucket, key: string, mostBytes: number): Failure {
  return new Failure(
    'refused',
    `${bucket.url}: ${key} is longer than ${mostBytes} bytes, the most that this store takes`,
  );
}

/** How the request that gives an object its name ended. After an attempt whose answer was lost "taken" may mean ourselves. */
async function ended(bucket: S3Bucket, key: string, writer: string, work: () => Promise<void>): Promise<PutEnd> {
  try {
    await work();
    return 'stored';
  } catch (error) {
    const isGone = isS3Refusal(error, 'NoSuchUpload') && error.isAfterUncertain;
    if (!isTaken(error) && !isGone) throw error;
    if (error.isAfterUncertain && (await writerOf(bucket, key)) === writer) return 'stored';
    if (isTaken(error)) return 'taken';
    throw error;
  }
}

async function writerOf(bucket: S3Bucket, key: string): Promise<string | undefined> {
  const head = new HeadObjectCommand(bucket.at(key));
  return (await bucket.asker.ask(async (client) => await client.send(head))).Metadata?.['writer'];
}
