import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isSameAccess, noAccess } from '../../src/core/destination-access.ts';
import { startConnectProxy, startTlsFront, storeCertificate, type ConnectProxy } from '../doubles/connect-proxy.ts';
import { S3Server } from '../doubles/s3-server.ts';
import { bodyOf, text } from './bytes.ts';
import { s3Site, shortPatience } from './s3-site.ts';

let server: S3Server;
let tls: Awaited<ReturnType<typeof startTlsFront>>;
let proxy: ConnectProxy;
let tlsProxy: ConnectProxy;

beforeEach(async () => {
  server = await S3Server.start();
  tls = await startTlsFront(server.port);
  proxy = await startConnectProxy(server.port);
  tlsProxy = await startConnectProxy(tls.port);
});
afterEach(async () => {
  for (const each of [tlsProxy, proxy, tls, server]) await each.stop();
});

/** Puts an object and reads it, with these options. */
async function roundTrip(options: Readonly<Record<string, string>>): Promise<string> {
  const site = await s3Site(server.bucket, server.access(options));
  try {
    const storage = await site.open({ patience: { ...shortPatience, connectMs: 20_000, attempts: 1 } });
    await storage.put('a', bodyOf('over there'));
    const read = await text(await storage.get('a'));
    await storage.close();
    return read;
  } finally {
    await site.destroy();
  }
}

describe('a store that is reached through a proxy', () => {
  test('over TLS by tunnels only, with the credentials of the proxy', async () => {
    const options = {
      's3-endpoint': 'https://store.example',
      's3-ca': storeCertificate,
      'https-proxy': `http://me:planted%20word@127.0.0.1:${tlsProxy.port}`,
      'http-proxy': `http://127.0.0.1:${proxy.port}`,
    };

    expect(await roundTrip(options)).toBe('over there');

    expect(new Set(tlsProxy.asked)).toEqual(new Set(['CONNECT store.example:443 as me:planted word']));
    expect(proxy.asked).toEqual([]);
  });

  test('in clear by its own proxy', async () => {
    const options = { 's3-endpoint': 'http://store.example', 'http-proxy': `127.0.0.1:${proxy.port}` };

    expect(await roundTrip(options)).toBe('over there');

    expect(proxy.asked.length).toBeGreaterThan(2);
    expect(proxy.asked.every((each) => / http:\/\/store\.example\/bucket/.test(each))).toBe(true);
  });

  test.each(['localhost,127.0.0.1', '10.0.0.0/8, 127.0.0.0/8', '127.0.0.1', '*'])(
    'and not where it is one of %s',
    async (no) => {
      const options = { 'http-proxy': `http://127.0.0.1:${proxy.port}`, 'no-proxy': no };

      expect(await roundTrip(options)).toBe('over there');

      expect(proxy.asked).toEqual([]);
    },
  );

  test.each(['10.0.0.0/8', 'store.example', '127.0.0.2/32'])(
    'and is where only others are left out: %s',
    async (no) => {
      const options = { 'http-proxy': `http://127.0.0.1:${proxy.port}`, 'no-proxy': no };

      expect(await roundTrip(options)).toBe('over there');

      expect(proxy.asked.length).toBeGreaterThan(2);
    },
  );

  test('that refuses is told as what it is, without its password', async () => {
    await proxy.stop();
    const trip = roundTrip({
      's3-endpoint': 'http://store.example',
      'http-proxy': `http://me:planted-word@127.0.0.1:${proxy.port}`,
    });
    proxy = await startConnectProxy(server.port);

    const error = await trip.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: 'unavailable' });
    expect(String(error)).not.toContain('planted');
  });
});

test('another proxy is another access, so who keeps a connection opens a new one', () => {
  const access = { ...noAccess, s3: server.access() };
  const other = { ...noAccess, s3: server.access({ 'https-proxy': 'http://proxy:3128' }) };
  expect([isSameAccess(access, other), isSameAccess(other, other)]).toEqual([false, true]);
});
