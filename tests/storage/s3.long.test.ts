import { type S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll } from 'vitest';
import { startCeph, type Ceph } from '../setup/ceph.ts';
import { storageContract } from './contract.ts';
import { makeBucket, s3Site } from './s3-site.ts';

let ceph: Ceph;
let client: S3Client;

beforeAll(async () => {
  ceph = await startCeph();
  client = await makeBucket(ceph, 'contract');
});
afterAll(async () => {
  client.destroy();
  await ceph.stop();
});

storageContract("Ceph's S3 gateway", async () => await s3Site('contract', ceph.access()));
