import { afterAll, beforeAll, test } from 'vitest';
import { onSftp, type Destinations } from '../setup/destinations.ts';
import { becomeOwner } from '../setup/machine.ts';
import { directory, on, tellSecondStory } from './second-story.ts';

let sftp: Destinations;

beforeAll(async () => {
  becomeOwner();
  sftp = await onSftp();
});
afterAll(async () => {
  await sftp.stop();
});

test('two directories, in clear: either may be away, and the second alone is restored from', async () => {
  await tellSecondStory(directory('first'), directory('second'), false);
}, 900_000);

test('a directory and an SFTP server that is stopped, encrypted: either may be away, and the second alone is restored from', async () => {
  await tellSecondStory(directory('first'), on(sftp), true);
}, 900_000);
