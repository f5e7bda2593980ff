import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { unitFolder } from '../../src/system/home.ts';
import { becomeOwner } from '../setup/machine.ts';
import { startSshd, type Sshd } from '../setup/sshd.ts';
import { backUpAndRestore, makeRemoteStory, type RemoteStory } from './remote-story.ts';

let server: Sshd;
let story: RemoteStory;

beforeAll(async () => {
  becomeOwner();
  server = await startSshd();
  story = await makeRemoteStory();
});
afterAll(async () => {
  await story.machine.destroy();
  await server.stop();
});

test('a repository on an SFTP server: from a server that nobody knows to the last row on a spare', async () => {
  const path = join(server.folder, 'backup');
  await mkdir(path);
  const destination = server.destination(path).url;

  await story.configure({ destination }, {});
  const unknown = await story.run('init');
  expect(unknown.exitCode).toBe(4);
  const hostKey = /set sftp-host-key: "([^"]+)"/.exec(unknown.stderr)?.[1] ?? '';
  expect(hostKey).toBe(server.hostKey.trim());

  await story.configure({ destination, 'sftp-host-key': hostKey }, {});
  const stranger = await story.run('init');
  expect(stranger.exitCode).toBe(4);
  const line = /there: (ssh-ed25519 \S+ landscape-backup)/.exec(stranger.stderr)?.[1] ?? '';
  await appendFile(server.authorizedKeys, `${line}\n`);

  expect(await story.run('init')).toMatchObject({ exitCode: 0 });
  // The spare is let in by a key that it was given.
  await story.configure({ destination, 'sftp-host-key': hostKey }, {});
  const key = await readFile(join(unitFolder(story.machine.home, '15-production').path, 'sftp-key'), 'utf8');
  await story.configure({ destination, 'sftp-host-key': hostKey }, { 'sftp-private-key': server.privateKey });

  await backUpAndRestore(story);

  const secrets = [key, server.privateKey].flatMap((each) =>
    each.split('\n').filter((part) => /^[^-].{20}/.test(part)),
  );
  for (const secret of secrets) expect(story.said.join('\n')).not.toContain(secret);
}, 300_000);
