import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, test } from 'vitest';
import { becomeOwner } from '../setup/machine.ts';
import { startSshd } from '../setup/sshd.ts';
import { moveAndRestore } from './move-story.ts';

beforeAll(() => {
  becomeOwner();
});

test('a repository moves to an SFTP server while it is archived to, and is restored from there to the last row', async () => {
  const server = await startSshd();
  try {
    const path = join(server.folder, 'backup');
    await mkdir(path);
    const access = { 'sftp-host-key': server.hostKey.trim() };
    await moveAndRestore(server.destination(path).url, access, { 'sftp-private-key': server.privateKey });
  } finally {
    await server.stop();
  }
}, 900_000);
