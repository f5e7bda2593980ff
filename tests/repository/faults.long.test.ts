import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { startHttpProxy, type HttpProxy } from '../doubles/http-proxy.ts';
import { startTcpProxy, type TcpProxy } from '../doubles/tcp-proxy.ts';
import { startCeph, type Ceph } from '../setup/ceph.ts';
import { startSshd, type Sshd } from '../setup/sshd.ts';
import { all, bodyOf, noise } from '../storage/bytes.ts';
import { makeBucket, s3Site, shortPatience } from '../storage/s3-site.ts';
import { sftpSite } from '../storage/sftp-site.ts';
import { temporaryDirectory } from '../storage/temporary-directory.ts';
import { requestFaults, wayFaults, wrapperFaults } from './faults.ts';

/** What stalls is given up soon, and is asked for again. */
const hasty = { ...shortPatience, silenceMs: 1500 };

let server: Sshd;
let toServer: TcpProxy;
let ceph: Ceph;
let toCeph: TcpProxy;
let asked: HttpProxy;

beforeAll(async () => {
  server = await startSshd();
  toServer = await startTcpProxy(server.port);
  ceph = await startCeph();
  (await makeBucket(ceph, 'faults')).destroy();
  toCeph = await startTcpProxy(ceph.port);
  asked = await startHttpProxy(ceph.port);
});
afterAll(async () => {
  await asked.stop();
  await toCeph.stop();
  await ceph.stop();
  await toServer.stop();
  await server.stop();
});
afterEach(() => {
  vi.useRealTimers();
  asked.fault = () => undefined;
  asked.clockShiftMs = 0;
});

const atCeph = async () => await s3Site('faults', ceph.access());

async function throughTo(port: number, patience = hasty) {
  const site = await atCeph();
  const through = async () => await site.open({ access: ceph.access({}, port), patience });
  return { ...site, through };
}

wrapperFaults('a directory', temporaryDirectory, 50);
wrapperFaults('an SFTP server', async () => await sftpSite(server), 25);
wrapperFaults("Ceph's S3 gateway", atCeph, 15);
wayFaults(
  'an SFTP server',
  () => toServer,
  async () => {
    const site = await sftpSite(server);
    return { ...site, through: async () => await site.open({ port: toServer.port, requestMs: 3000 }) };
  },
  25,
);
wayFaults(
  "Ceph's S3 gateway",
  () => toCeph,
  async () => await throughTo(toCeph.port),
  15,
);
requestFaults(
  () => asked,
  async () => await throughTo(asked.port),
  25,
);

test('a listing that somebody on the way has made shorter, and that says of itself that this is all, is no listing', async () => {
  const site = await throughTo(asked.port, shortPatience);
  const storage = await site.through();
  const keys = Array.from({ length: 30 }, (_, index) => `a/${String(index).padStart(2, '0')}`);
  for (const key of keys) await storage.put(key, bodyOf(noise(5000)));
  asked.fault = (name) => (name.includes('list-type') ? 'shorten' : undefined);

  const told = await all(storage.list('')).then(
    (found) => `${found.length} objects`,
    (error: unknown) => (isFailure(error) ? error.kind : error),
  );

  expect(told).toBe('unavailable');
  await storage.close();
});

test("the store's clock is told as it is, and neither its nor ours being wrong keeps anything from being stored", async () => {
  const site = await throughTo(asked.port, shortPatience);
  const storage = await site.through();
  asked.clockShiftMs = 3_600_000;
  expect((await storage.clock()).getTime() - Date.now()).toBeGreaterThan(3_500_000);
  asked.clockShiftMs = 0;
  await storage.put('a', bodyOf('1'));
  await storage.close();

  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 });
  const late = await site.through();
  expect((await late.clock()).getTime() - Date.now()).toBeGreaterThan(3_500_000);
  await late.put('b', bodyOf('2'));

  expect((await all(late.list(''))).map(({ key }) => key)).toEqual(['a', 'b']);
  await late.close();
  await site.destroy();
});
