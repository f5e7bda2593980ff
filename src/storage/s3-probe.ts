import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { Failure } from '../core/failure.ts';
import { randomName } from '../system/files.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { isS3Refusal, isTaken } from './s3-failure.ts';

/** What was seen of a bucket by this process, by its endpoint's word and URL. */
const putSeen = new Map<string, Promise<void>>();
const completeSeen = new Map<string, Promise<boolean>>();

/**
 * Fails with `refused` unless the store lets one of two writers of one key win who come at the same time. Asked once per
 * process: without it nothing keeps one unit from overwriting another's objects.
 */
export async function proveConditionalPut(bucket: S3Bucket, where: string): Promise<void> {
  await once(putSeen, where, async () => {
    const key = bucket.probe(randomName());
    const settled = await Promise.allSettled(['1', '2'].map(async (body) => await put(bucket, key, body)));
    await remove(bucket, key);
    if (isOneWinner(bucket, settled)) return;
    throw new Failure('refused', `${bucket.url}: the store ignores If-None-Match, so it can't refuse to overwrite`, {
      hint: 'Two writers of one object would both believe that they had won, and backups could be lost silently. Use a store that knows conditional writes: AWS, Ceph 12 or later, MinIO.',
    });
  });
}

/** Tells whether the same holds where a multipart upload is completed. */
export async function knowsConditionalComplete(bucket: S3Bucket, where: string): Promise<boolean> {
  return await once(completeSeen, where, async () => {
    const key = bucket.probe(randomName());
    const uploads = await Promise.all(['1', '2'].map(async (body) => await upload(bucket, key, body)));
    const settled = await Promise.allSettled(uploads.map(async (each) => await complete(bucket, key, each)));
    for (const { UploadId } of uploads) {
      const abort = new AbortMultipartUploadCommand({ ...bucket.at(key), UploadId });
      await bucket.asker.ask(async (client) => await client.send(abort)).catch(() => undefined); // One is complete.
    }
    await remove(bucket, key);
    return isOneWinner(bucket, settled);
  });
}

async function once<T>(seen: Map<string, Promise<T>>, where: string, look: () => Promise<T>): Promise<T> {
  const looking = seen.get(where) ?? look();
  seen.set(where, looking);
  try {
    return await looking;
  } catch (error) {
    seen.delete(where); // It may be better next time.
    throw error;
  }
}

/**
 * At most one was let in, and somebody was told that the name is taken. Nobody need have heard that he was let in: an answer
 * that is lost on its way is asked for again, and then the name is taken by himself.
 */
function isOneWinner(bucket: S3Bucket, settled: readonly PromiseSettledResult<unknown>[]): boolean {
  for (const each of settled) {
    // Who does not know the condition may also say so.
    if (each.status === 'fulfilled' || isTaken(each.reason) || isS3Refusal(each.reason, 'NotImplemented')) continue;
    throw each.reason instanceof Error ? each.reason : new Error(`${bucket.url}: ${String(each.reason)}`);
  }
  const isRefused = settled.some((each) => each.status === 'rejected' && isTaken(each.reason));
  return isRefused && settled.filter(({ status }) => status === 'fulfilled').length <= 1;
}

async function put(bucket: S3Bucket, key: string, body: string): Promise<void> {
  await bucket.asker.ask(async (client) => {
    await client.send(new PutObjectCommand({ ...bucket.at(key), Body: Buffer.from(body), IfNoneMatch: '*' }));
  });
}

interface Upload {
  readonly UploadId: string | undefined;
  readonly ETag: string | undefined;
}

async function upload(bucket: S3Bucket, key: string, body: string): Promise<Upload> {
  const at = bucket.at(key);
  return await bucket.asker.ask(async (client) => {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(at));
    const part = { ...at, UploadId, PartNumber: 1, Body: Buffer.from(body) };
    const { ETag } = await client.send(new UploadPartCommand(part));
    return { UploadId, ETag };
  });
}

async function complete(bucket: S3Bucket, key: string, { UploadId, ETag }: Upload): Promise<void> {
  const whole = {
    ...bucket.at(key),
    UploadId,
    IfNoneMatch: '*',
    MultipartUpload: { Parts: [{ ETag, PartNumber: 1 }] },
  };
  await bucket.asker.ask(async (client) => await client.send(new CompleteMultipartUploadCommand(whole)));
}

async function remove(bucket: S3Bucket, key: string): Promise<void> {
  const command = new DeleteObjectCommand(bucket.at(key));
  await bucket.asker.ask(async (client) => await client.send(command)).catch(() => undefined); // A rest is swept later.
}
