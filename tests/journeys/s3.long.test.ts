import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCeph, type Ceph } from '../setup/ceph.ts';
import { becomeOwner } from '../setup/machine.ts';
import { makeBucket } from '../storage/s3-site.ts';
import { backUpAndRestore, makeRemoteStory, type RemoteStory } from './remote-story.ts';

let ceph: Ceph;
let story: RemoteStory;

beforeAll(async () => {
  becomeOwner();
  ceph = await startCeph();
  (await makeBucket(ceph, 'backups')).destroy();
  story = await makeRemoteStory();
});
afterAll(async () => {
  await story.machine.destroy();
  await ceph.stop();
});

test('a repository in a Ceph gateway with a certificate of its own: to the last row on a spare', async () => {
  const {
    's3-access-key': accessKey = '',
    's3-secret-key': secretKey = '',
    's3-ca': ca = '',
    ...open
  } = ceph.tlsOptions;
  const secrets = { 's3-access-key': accessKey, 's3-secret-key': secretKey };
  const settings = { destination: 's3://backups/landscape', ...open };

  await story.configure(settings, secrets);
  const untrusted = await story.run('init');
  expect(untrusted.exitCode).toBe(4);
  expect(untrusted.stderr).toContain('s3-ca');

  await story.configure(
    { ...settings, 's3-ca': JSON.stringify(ca) },
    { ...secrets, 's3-secret-key': 'another-secret' },
  );
  const wrong = await story.run('init');
  expect(wrong.exitCode).toBe(4);
  expect(wrong.stderr).toContain('the secret key does not belong to the access key');

  await story.configure({ ...settings, 's3-ca': JSON.stringify(ca) }, secrets);
  expect(await story.run('init')).toMatchObject({ exitCode: 0 });
  await backUpAndRestore(story);

  for (const secret of [secretKey, 'another-secret']) expect(story.said.join('\n')).not.toContain(secret);
}, 300_000);
