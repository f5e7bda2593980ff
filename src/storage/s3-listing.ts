import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  type ListObjectsV2CommandOutput,
  type MultipartUpload,
} from '@aws-sdk/client-s3';
import { Failure } from '../core/failure.ts';
import { probeName, type S3Bucket } from './s3-bucket.ts';
import { isS3Refusal } from './s3-failure.ts';

/** All pages of a listing below a key, in order. */
export async function* pages(
  bucket: S3Bucket,
  prefix: string,
  delimiter?: string,
): AsyncGenerator<ListObjectsV2CommandOutput> {
  let token: string | undefined;
  do {
    const command = new ListObjectsV2Command({
      Bucket: bucket.name,
      Prefix: prefix,
      ...(delimiter === undefined ? {} : { Delimiter: delimiter }),
      ...(token === undefined ? {} : { ContinuationToken: token }),
    });
    const page = await bucket.asker.ask(async (client) => await client.send(command));
    yield page;
    // A page that is cut off without saying how it goes on would read as "absent".
    if (page.IsTruncated === true && page.NextContinuationToken === undefined) {
      throw new Failure('unavailable', `${bucket.url}: the store cut a listing off and does not say how it goes on`);
    }
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
}

/** Tells whether a name below the prefix is an object's: not a folder's mark, and no name that begins with a dot. */
export function isObjectName(name: string): boolean {
  return name !== '' && !name.endsWith('/') && !/(^|\/)\./.test(name);
}

/** Aborts uploads below a key that nobody has added to since, and says how many. */
export async function abortStale(bucket: S3Bucket, prefix: string, before: Date): Promise<number> {
  let aborted = 0;
  for await (const upload of uploads(bucket, prefix)) {
    if (upload.Key === undefined || upload.UploadId === undefined || upload.Initiated === undefined) continue;
    if (upload.Initiated >= before || !(await isSilent(bucket, upload, before))) continue;
    const command = new AbortMultipartUploadCommand({ ...bucket.at(upload.Key), UploadId: upload.UploadId });
    await unlessGone(bucket.asker.ask(async (client) => await client.send(command)));
    aborted += 1;
  }
  return aborted;
}

async function* uploads(bucket: S3Bucket, prefix: string): AsyncGenerator<MultipartUpload> {
  let after: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
  while (after !== undefined) {
    const command: ListMultipartUploadsCommand = new ListMultipartUploadsCommand({
      Bucket: bucket.name,
      Prefix: prefix,
      ...after,
    });
    const page = await bucket.asker.ask(async (client) => await client.send(command));
    yield* page.Uploads ?? [];
    const { IsTruncated, NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
    if (IsTruncated !== true || KeyMarker === undefined) return;
    after = { KeyMarker, ...(UploadIdMarker === undefined ? {} : { UploadIdMarker }) };
  }
}

/** Tells whether no part came since; a backup of hours goes on in an upload that began long ago. */
async function isSilent(bucket: S3Bucket, { Key = '', UploadId }: MultipartUpload, before: Date): Promise<boolean> {
  let marker: string | undefined;
  do {
    const at = { ...bucket.at(Key), UploadId, ...(marker === undefined ? {} : { PartNumberMarker: marker }) };
    const page = await unlessGone(bucket.asker.ask(async (client) => await client.send(new ListPartsCommand(at))));
    if (page === undefined) return false;
    if ((page.Parts ?? []).some(({ LastModified }) => LastModified === undefined || LastModified >= before))
      return false;
    marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
  } while (marker !== undefined);
  return true;
}

/** Removes what probes left below a key, and says how many. */
export async function removeProbes(bucket: S3Bucket, prefix: string, before: Date): Promise<number> {
  let removed = 0;
  for await (const { Contents = [] } of pages(bucket, prefix + probeName)) {
    for (const { Key, LastModified } of Contents) {
      if (Key === undefined || LastModified === undefined || LastModified >= before) continue;
      await bucket.asker.ask(async (client) => await client.send(new DeleteObjectCommand(bucket.at(Key))));
      removed += 1;
    }
  }
  return removed;
}

async function unlessGone<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isS3Refusal(error, 'NoSuchUpload', 'NoSuchKey')) return undefined;
    throw error;
  }
}
