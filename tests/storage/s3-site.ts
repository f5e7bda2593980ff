import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { S3Access } from '../../src/core/destination-access.ts';
import { readDestination, type S3Destination } from '../../src/core/destination.ts';
import type { S3Patience } from '../../src/storage/s3-client.ts';
import { openS3 } from '../../src/storage/s3.ts';
import type { Storage } from '../../src/storage/storage.ts';
import type { Ceph } from '../setup/ceph.ts';

/** Short enough for a test, with the order of magnitude kept. */
export const shortPatience: S3Patience = { connectMs: 1000, silenceMs: 10_000, attempts: 3, firstPauseMs: 20 };

/** An empty folder of a bucket as a destination. */
export interface S3Site {
  readonly destination: S3Destination;
  readonly privateFolder: string;
  open(more?: { access?: S3Access; reread?: () => Promise<S3Access>; patience?: S3Patience }): Promise<Storage>;
  destroy(): Promise<void>;
}

let made = 0;

/** Makes a bucket for a file of tests, and gives back a client for what our own code never does. */
export async function makeBucket(ceph: Ceph, name: string): Promise<S3Client> {
  const client = new S3Client({
    endpoint: ceph.options['s3-endpoint'] ?? '',
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: {
      accessKeyId: ceph.options['s3-access-key'] ?? '',
      secretAccessKey: ceph.options['s3-secret-key'] ?? '',
    },
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  await client.send(new CreateBucketCommand({ Bucket: name }));
  return client;
}

/** Makes a folder of its own in a bucket. */
export async function s3Site(bucket: string, access: S3Access): Promise<S3Site> {
  made += 1;
  const privateFolder = await mkdtemp(join(tmpdir(), 'lb-s3-'));
  const destination = readDestination(`s3://${bucket}/site-${made}`);
  if (typeof destination === 'string' || destination.kind !== 's3') throw new Error(JSON.stringify(destination));
  return {
    destination,
    privateFolder,
    open: async (more = {}) =>
      await openS3(destination, { access, reread: async () => more.access ?? access, privateFolder, ...more }),
    destroy: async () => {
      await rm(privateFolder, { recursive: true, force: true });
    },
  };
}
