import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  PutBucketLifecycleConfigurationCommand,
  PutObjectLockConfigurationCommand,
  UploadPartCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { readdir } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { parseSettings } from '../../src/core/settings.ts';
import { startConnectProxy } from '../doubles/connect-proxy.ts';
import { startTcpProxy, type TcpProxy } from '../doubles/tcp-proxy.ts';
import { startCeph, type Ceph } from '../setup/ceph.ts';
import { all, bodyOf, bytes } from './bytes.ts';
import { storageContract } from './contract.ts';
import { makeBucket, s3Site, shortPatience, type S3Site } from './s3-site.ts';

let ceph: Ceph;
let client: S3Client;
let proxy: TcpProxy;

beforeAll(async () => {
  ceph = await startCeph();
  client = await makeBucket(ceph, 'contract');
  proxy = await startTcpProxy(ceph.port);
});
afterAll(async () => {
  client.destroy();
  await proxy.stop();
  await ceph.stop();
});

storageContract("Ceph's S3 gateway", async () => await s3Site('contract', ceph.access()));

describe("Ceph's S3 gateway behind a bad network", () => {
  let site: S3Site;

  beforeEach(async () => {
    proxy.fault = 'none';
    proxy.cut();
    site = await s3Site('contract', ceph.access({}, proxy.port));
  });
  afterEach(async () => {
    await site.destroy();
  });

  test('a connection that is cut at any byte of a put or a get costs a moment and nothing else', async () => {
    let round = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('up', 'down'),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom(100_000, 9_000_000),
        async (way, part, length) => {
          round += 1;
          const plain = Buffer.alloc(length, `${round} `);
          const storage = await site.open({ patience: shortPatience });
          proxy.cutAfter(way, 1 + Math.floor(part * (way === 'up' ? length : 1000)));
          await storage.put(`a/${round}`, bodyOf(plain));
          proxy.cutAfter('down', 1 + Math.floor(part * length));
          expect((await bytes(await storage.get(`a/${round}`))).equals(plain)).toBe(true);
          proxy.cut();
          await storage.close();
        },
      ),
      { numRuns: 20 },
    );
    const storage = await site.open();
    expect(await all(storage.list(''))).toHaveLength(round);
    expect(await readdir(site.privateFolder)).toEqual([]);
    await storage.close();
  });

  test('a store that falls silent or is gone is unavailable, in time, and never "missing"', async () => {
    const storage = await site.open({ patience: { ...shortPatience, silenceMs: 300 } });
    for (const fault of ['stall', 'refuse'] as const) {
      proxy.fault = fault;
      proxy.cut();
      for (const call of [
        async () => await storage.get('a'),
        async () => await storage.put('a', bodyOf('1')),
        async () => await all(storage.list('')),
        async () => {
          await storage.remove('a');
        },
      ]) {
        const error = await call().catch((thrown: unknown) => thrown);
        expect(isFailure(error, 'unavailable'), String(error)).toBe(true);
      }
    }
    proxy.fault = 'none';
    proxy.cut();
    await storage.put('a', bodyOf('1'));
    expect(await storage.folders('')).toEqual(['a']);
    await storage.close();
  });
});

test('uploads that nobody finished are swept, more keys than a page are listed, and wrong keys are told apart', async () => {
  const site = await s3Site('contract', ceph.access());
  const storage = await site.open();
  const at = { Bucket: 'contract', Key: `${site.destination.prefix}a/b` };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(at));
  await client.send(new UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: Buffer.from('half') }));

  expect(await storage.sweep('', new Date(Date.now() - 60_000))).toBe(0);
  expect(await storage.sweep('b/', new Date(Date.now() + 60_000))).toBe(0);
  expect(await storage.sweep('', new Date(Date.now() + 60_000))).toBe(1);
  expect(await storage.sweep('', new Date(Date.now() + 60_000))).toBe(0);

  const keys = Array.from({ length: 1100 }, (_, index) => `f${index % 7}/${String(index).padStart(4, '0')}`);
  for (let from = 0; from < keys.length; from += 50) {
    await Promise.all(keys.slice(from, from + 50).map(async (key) => await storage.put(key, bodyOf(key))));
  }
  expect((await all(storage.list(''))).map(({ key }) => key)).toEqual(keys.toSorted());

  const stranger = site.open({ access: ceph.access({ 's3-secret-key': 'not-the-secret' }) });
  await expect(stranger).rejects.toMatchObject({ kind: 'refused', message: expect.stringContaining('secret key') });
  const unknown = site.open({ access: ceph.access({ 's3-access-key': 'nobody' }) });
  await expect(unknown).rejects.toMatchObject({ kind: 'refused', message: expect.stringContaining('access key') });
  const nowhere = await s3Site('no-such-bucket', ceph.access());
  await expect(nowhere.open()).rejects.toMatchObject({
    kind: 'unavailable',
    message: expect.stringContaining('bucket'),
  });
  await storage.close();
});

test('keys that are exchanged at the store cost a put that goes on nothing, over TLS through a proxy', async () => {
  const through = await startConnectProxy(Number(new URL(ceph.tlsOptions['s3-endpoint'] ?? '').port));
  const user = ['--uid=test', '--key-type=s3'];
  const next = { 's3-access-key': 'thenextkeyoftest', 's3-secret-key': 'another-secret-of-the-test' };
  const options = { ...ceph.tlsOptions, 'https-proxy': `http://127.0.0.1:${through.port}` };
  const other = async () => parseSettings({ ...options, ...next }).access.s3;
  const site = await s3Site('contract', parseSettings(options).access.s3);
  const storage = await site.open({ reread: other });
  const isRefused = async () =>
    await site.open().then(
      async (open) => {
        await open.close();
        return false;
      },
      (error: unknown) => isFailure(error, 'refused'),
    );
  const body = async function* () {
    yield Buffer.alloc(9_000_000, 'a');
    await ceph.admin('radosgw-admin', 'key', 'create', ...user, ...keyArguments(next));
    await ceph.admin('radosgw-admin', 'key', 'rm', ...user, `--access-key=${ceph.options['s3-access-key'] ?? ''}`);
    await expect.poll(isRefused, { timeout: 60_000 }).toBe(true);
    yield Buffer.alloc(9_000_000, 'b');
  };

  try {
    await storage.put('a/long', body());
    expect((await bytes(await storage.get('a/long'))).byteLength).toBe(18_000_000);
    expect(through.asked.length).toBeGreaterThan(0);
    expect(through.asked.every((each) => /^CONNECT 127\.0\.0\.1:\d+$/.test(each))).toBe(true);
  } finally {
    await ceph.admin('radosgw-admin', 'key', 'create', ...user, ...keyArguments(ceph.options));
    await expect.poll(isRefused, { timeout: 60_000 }).toBe(false);
    await storage.close();
    await through.stop();
  }
});

function keyArguments(options: Readonly<Record<string, string>>): readonly string[] {
  return [`--access-key=${options['s3-access-key'] ?? ''}`, `--secret-key=${options['s3-secret-key'] ?? ''}`];
}

test('a bucket that locks what it holds and one that keeps versions are told', async () => {
  await client.send(new CreateBucketCommand({ Bucket: 'locked', ObjectLockEnabledForBucket: true }));
  const site = await s3Site('locked', ceph.access());
  const storage = await site.open();
  const said = async () =>
    (await storage.remarks()).map(({ text }) => text).filter((text) => text.startsWith('the bucket'));
  expect(await said()).toEqual([expect.stringContaining('the bucket keeps versions')]);

  await client.send(
    new PutObjectLockConfigurationCommand({
      Bucket: 'locked',
      ObjectLockConfiguration: {
        ObjectLockEnabled: 'Enabled',
        Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } },
      },
    }),
  );
  expect(await said()).toEqual([
    expect.stringContaining('the bucket keeps versions'),
    expect.stringContaining('the bucket locks new objects'),
  ]);
  await storage.close();
});

test('a lifecycle rule that would delete what is needed is told as a fault, and that long objects pass through a file', async () => {
  const site = await s3Site('contract', ceph.access());
  const storage = await site.open();
  const Rules = [{ ID: 'cleanup', Status: 'Enabled' as const, Filter: { Prefix: '' }, Expiration: { Days: 30 } }];
  expect(await storage.remarks()).toEqual([
    { is: 'note', text: expect.stringContaining('pass through a file') },
    { is: 'note', text: expect.stringContaining('the endpoint is http') },
  ]);

  await client.send(
    new PutBucketLifecycleConfigurationCommand({ Bucket: 'contract', LifecycleConfiguration: { Rules } }),
  );

  expect((await storage.remarks())[0]).toMatchObject({ is: 'fault', text: expect.stringContaining('"cleanup"') });
  await storage.close();
});
