import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, test } from 'vitest';
import { startCeph, type Ceph } from '../setup/ceph.ts';
import { becomeOwner } from '../setup/machine.ts';
import { makeBucket } from '../storage/s3-site.ts';
import { moveAndRestore } from './move-story.ts';

let ceph: Ceph;

beforeAll(async () => {
  becomeOwner();
  ceph = await startCeph();
  (await makeBucket(ceph, 'moved')).destroy();
});
afterAll(async () => {
  await ceph.stop();
});

test('a repository moves into a Ceph gateway while it is archived to, and is restored from there to the last row', async () => {
  const { 's3-access-key': accessKey = '', 's3-secret-key': secretKey = '', ...access } = ceph.options;
  const secrets = { 's3-access-key': accessKey, 's3-secret-key': secretKey };

  await moveAndRestore('s3://moved/landscape', access, secrets);
}, 900_000);

test('a repository moves to another directory while it is archived to, and is restored from there to the last row', async () => {
  const destination = await mkdtemp(join(tmpdir(), 'lb-moved-'));
  try {
    await moveAndRestore(`file://${destination}`, {}, {});
  } finally {
    await rm(destination, { recursive: true, force: true });
  }
}, 900_000);
