import { afterAll, beforeAll } from 'vitest';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import { startTcpProxy, type TcpProxy } from '../doubles/tcp-proxy.ts';
import { startSshd, type Sshd } from '../setup/sshd.ts';
import { sftpSite } from '../storage/sftp-site.ts';
import { temporaryDirectory } from '../storage/temporary-directory.ts';
import { wayFaults, wrapperFaults } from './faults.ts';

let server: Sshd;
let proxy: TcpProxy;

beforeAll(async () => {
  server = await startSshd();
  proxy = await startTcpProxy(server.port);
});
afterAll(async () => {
  await proxy.stop();
  await server.stop();
});

const memory = async () => {
  const destination = new MemoryDestination();
  return { open: async () => destination.open(), destroy: async () => undefined };
};

wrapperFaults('memory', memory, 30);
wrapperFaults('a directory', temporaryDirectory, 10);
wrapperFaults('an SFTP server', async () => await sftpSite(server), 5);
wayFaults(
  'an SFTP server',
  () => proxy,
  async () => {
    const site = await sftpSite(server);
    return { ...site, through: async () => await site.open({ port: proxy.port, requestMs: 3000 }) };
  },
  8,
);
