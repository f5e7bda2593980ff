import { afterAll, beforeAll, test } from 'vitest';
import { onS3, onSftp, type Destinations } from '../setup/destinations.ts';
import { becomeOwner } from '../setup/machine.ts';
import { on, tellSecondStory } from './second-story.ts';

let [sftp, s3]: Destinations[] = [];

beforeAll(async () => {
  becomeOwner();
  [sftp, s3] = await Promise.all([onSftp(), onS3()]);
}, 300_000);
afterAll(async () => {
  await Promise.all([sftp?.stop(), s3?.stop()]);
});

test('an SFTP server and Ceph’s S3 gateway, both stopped in turn: the second alone is restored from', async () => {
  if (sftp === undefined || s3 === undefined) throw new Error('a server has not started');
  await tellSecondStory(on(sftp), on(s3), false);
}, 900_000);
