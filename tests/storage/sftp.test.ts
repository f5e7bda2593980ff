import { afterAll, beforeAll } from 'vitest';
import { startSshd, type Sshd } from '../setup/sshd.ts';
import { storageContract } from './contract.ts';
import { sftpSite } from './sftp-site.ts';

let server: Sshd;
let withoutLinks: Sshd;

beforeAll(async () => {
  server = await startSshd();
  withoutLinks = await startSshd({ denied: 'hardlink,fsync,statvfs' });
});
afterAll(async () => {
  await server.stop();
  await withoutLinks.stop();
});

storageContract('an SFTP server', async () => await sftpSite(server));
storageContract('an SFTP server that knows the bare protocol only', async () => await sftpSite(withoutLinks));
