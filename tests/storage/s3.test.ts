import fc from 'fast-check';
import { readdir } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { remarkOnRule } from '../../src/storage/s3-rules.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { S3Server, type S3Fault } from '../doubles/s3-server.ts';
import { all, bodyOf, bytes, gate, noise, text } from './bytes.ts';
import { storageContract } from './contract.ts';
import { s3Site, shortPatience, type S3Site } from './s3-site.ts';

const mebibyte = 1024 * 1024;

let standing: S3Server;
beforeAll(async () => {
  standing = await S3Server.start();
});
afterAll(async () => {
  await standing.stop();
});

storageContract('an S3 store that knows every condition', async () => await s3Site(standing.bucket, standing.access()));

let server: S3Server;
let site: S3Site;
let storage: Storage;

beforeEach(async () => {
  server = await S3Server.start();
  site = await s3Site(server.bucket, server.access());
  storage = await site.open({ patience: shortPatience });
});
afterEach(async () => {
  await storage.close();
  await site.destroy();
  await server.stop();
});

async function endOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => 'done',
    (error: unknown) => (isFailure(error) ? error.kind : error),
  );
}

/** Faults for the nth request that a pattern names, from 1. */
function failNth(pattern: RegExp, nth: number, fault: S3Fault): void {
  let seen = 0;
  server.fault = (request) => {
    if (!pattern.test(request)) return undefined;
    seen += 1;
    return seen === nth ? fault : undefined;
  };
}

describe('writing once', () => {
  test('a store that ignores the condition is refused, and nothing is stored', async () => {
    server.dialect.conditionalPut = false;

    await expect(storage.put('a', bodyOf('1'))).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('ignores If-None-Match'),
    });

    expect([...server.objects.keys()]).toEqual([]);
  });

  test('reading asks for no proof, and a process proves a store once', async () => {
    await expect(storage.get('a')).rejects.toMatchObject({ kind: 'missing' });
    expect(server.requests.filter((each) => each.startsWith('PUT'))).toEqual([]);

    await Promise.all(['a', 'b', 'c'].map(async (key) => await storage.put(key, bodyOf(key))));
    expect(server.requests.filter((each) => each.includes('.probe-')).length).toBe(3);
  });

  test.each([true, false])('objects of several parts are one or none, conditional complete: %s', async (knows) => {
    server.dialect.conditionalComplete = knows;
    const other = await site.open({ patience: shortPatience });
    const bodies = [1, 2, 3, 4].map((seed) => Buffer.alloc(17 * mebibyte + seed, `${seed} `));

    const ends = await Promise.all(
      bodies.map(async (body, index) => await endOf((index % 2 === 0 ? storage : other).put('a/b', bodyOf(body)))),
    );
    await other.close();

    expect(ends.filter((end) => end === 'done')).toHaveLength(1);
    expect(ends.filter((end) => end === 'conflict')).toHaveLength(3);
    const winner = bodies[ends.indexOf('done')] ?? Buffer.alloc(0);
    expect((await bytes(await storage.get('a/b'))).equals(winner)).toBe(true);
    expect([server.uploads.size, [...server.objects.keys()].length]).toEqual([0, 1]);
    expect(server.requests.some((each) => each.includes('a/b?partNumber=2'))).toBe(knows);
    expect(await readdir(site.privateFolder)).toEqual([]);
  });

  test.each([true, false])(
    'a body that breaks after its first parts leaves nothing, conditional complete: %s',
    async (knows) => {
      server.dialect.conditionalComplete = knows;
      const error = new Error('the source broke');
      const broken = async function* () {
        yield Buffer.alloc(20 * mebibyte, 'x');
        throw error;
      };

      await expect(storage.put('a', broken())).rejects.toBe(error);

      expect([server.uploads.size, server.objects.size]).toEqual([0, 0]);
      expect(await readdir(site.privateFolder)).toEqual([]);
    },
  );
});

test.each([
  ['once', undefined, 1],
  ['and again, where the first time failed', 1, 2],
])('what passes through a file keeps to its pace where it is sent: %s', async (_how, failing, times) => {
  server.dialect.conditionalComplete = false;
  if (failing !== undefined) failNth(/^PUT site-\d+\/a$/, failing, 503);
  const length = 20 * mebibyte;
  let taken = 0;
  const pace = {
    take: async (count: number) => {
      taken += count;
    },
  };
  const fromSource = async function* () {
    yield Buffer.alloc(length, 'x');
    expect(taken).toBe(0);
  };

  await storage.put('a', fromSource(), pace);

  expect(taken).toBe(times * length);
  expect((await bytes(await storage.get('a'))).equals(Buffer.alloc(length, 'x'))).toBe(true);
});

describe('keys that are exchanged', () => {
  const [oldKey, newKey] = ['ACCESSKEYOFTEST', 'ANOTHERKEYOFTEST'];

  test.each([
    [true, false],
    [false, false],
    [true, true],
    [false, true],
  ])('cost a put that goes on nothing, conditional complete: %s, a no that is lost: %s', async (knows, cuts) => {
    server.dialect.conditionalComplete = knows;
    server.dialect.cutsStrangersOff = cuts;
    server.keys = new Set([oldKey]);
    let asked = 0;
    const reread = async () => {
      asked += 1;
      return server.access({ 's3-access-key': newKey });
    };
    const open = await site.open({ reread });
    const pieces = [1, 2, 3].map((seed) => Buffer.alloc(9 * mebibyte, `${seed} `));
    const body = async function* () {
      for (const piece of pieces) {
        yield piece;
        server.keys = new Set([newKey]);
      }
    };

    await open.put('a', body());

    expect((await bytes(await open.get('a'))).equals(Buffer.concat(pieces))).toBe(true);
    expect(asked).toBe(1);
    await open.close();
  });

  test('are read once for all who are refused at the same time', async () => {
    server.keys = new Set([oldKey]);
    let asked = 0;
    const waits = gate();
    const reread = async () => {
      asked += 1;
      await waits.opened;
      return server.access({ 's3-access-key': newKey });
    };
    const open = await site.open({ reread });
    await open.put('a', bodyOf('1'));
    server.keys = new Set([newKey]);
    const before = server.requests.length;

    const all = Promise.all([1, 2, 3, 4, 5].map(async () => await text(await open.get('a'))));
    await expect.poll(() => server.requests.length - before, { timeout: 30_000 }).toBe(5);
    waits.open();

    expect(await all).toEqual(['1', '1', '1', '1', '1']);
    expect([asked, server.requests.length - before]).toEqual([1, 10]);
    await open.close();
  });

  test.each([
    ['the same as before', async () => server.access()],
    ['as wrong as before', async () => server.access({ 's3-access-key': 'WRONGKEYOFTEST' })],
    [
      'not to be read',
      async () => {
        throw new Error('the settings are gone');
      },
    ],
  ])('and are %s leave the answer of the store, after one more asking at most', async (_what, reread) => {
    const open = await site.open({ reread });
    server.keys = new Set([newKey]);
    const before = server.requests.length;

    await expect(open.get('a')).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('the store does not know the access key'),
    });
    expect(server.requests.length - before).toBeLessThanOrEqual(2);
    await open.close();
  });
});

describe('when requests fail', () => {
  test('whatever happens to any one request of a put, it ends well', async () => {
    const pattern = /^(PUT|POST) site-\d+\/a/;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<S3Fault>(503, 500, 429, 'drop-before', 'drop-after', 'stall'),
        fc.constantFrom(100, 9 * mebibyte),
        fc.integer({ min: 1, max: 4 }),
        fc.boolean(),
        async (fault, length, nth, knows) => {
          server.dialect.conditionalComplete = knows;
          const own = await s3Site(server.bucket, server.access()); // What a store can do is remembered.
          const fresh = await own.open({ patience: { ...shortPatience, silenceMs: 300 } });
          const plain = Buffer.alloc(length, `${nth} `);
          failNth(pattern, nth, fault);

          await fresh.put('a', bodyOf(plain));

          expect((await bytes(await fresh.get('a'))).equals(plain)).toBe(true);
          await fresh.remove('a');
          await fresh.close();
          await own.destroy();
          server.uploads.clear(); // Of an upload that began and whose answer was lost nobody knows; a sweep finds it.
        },
      ),
      { numRuns: 25 },
    );
  });

  test('a put whose own answer was lost is a success, and one that lost against another is a conflict', async () => {
    await storage.put('first', bodyOf('1'));
    failNth(/^PUT site-\d+\/second/, 1, 'drop-after');
    expect(await endOf(storage.put('second', bodyOf('2')))).toBe('done');

    failNth(/^PUT site-\d+\/first/, 1, 'drop-after');
    expect(await endOf(storage.put('first', bodyOf('2')))).toBe('conflict');
  });

  test.each([503, 'drop-before', 'stall'] as const)(
    'all of them with %s: unavailable, in time',
    async (fault) => {
      const hasty = await site.open({ patience: { ...shortPatience, silenceMs: 200 } });
      server.fault = () => fault;

      for (const work of [
        async () => await hasty.get('a'),
        async () => await hasty.put('a', bodyOf('1')),
        async () => await all(hasty.list('')),
        async () => await hasty.folders(''),
        async () => await hasty.remove('a'),
        async () => await hasty.clock(),
        async () => await hasty.mayPut(''),
      ]) {
        expect(await endOf(work())).toBe('unavailable');
      }
      await hasty.close();
    },
    60_000,
  );

  test.each([
    [403, 'AccessDenied', 'refused'],
    [403, 'SignatureDoesNotMatch', 'refused'],
    [403, 'QuotaExceeded', 'unavailable'],
    [404, 'NoSuchBucket', 'unavailable'],
    [404, 'NotFoundBySomeProxy', 'refused'],
    [400, 'InvalidRequest', 'refused'],
    [507, 'XMinioStorageFull', 'unavailable'],
  ])('%i %s is %s at once, and never "missing"', async (status, code, kind) => {
    server.answers.set('GET', [status, code]);
    server.answers.set('PUT', [status, code]);
    const before = server.requests.length;

    expect([await endOf(storage.get('a')), await endOf(all(storage.list('')))]).toEqual([kind, kind]);
    expect(server.requests.length - before).toBe(2);
    expect(await endOf(storage.put('a', bodyOf('1')))).toBe(kind);
  });

  test('clocks that are too far apart are told as that when it is so a second time, too', async () => {
    server.answers.set('GET', [403, 'RequestTimeTooSkewed']);
    const before = server.requests.length;

    await expect(storage.get('a')).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('clock'),
    });

    expect(server.requests.length - before).toBe(2);
  });

  test('a read that breaks off goes on behind its last byte, and one whose object was replaced does not', async () => {
    const plain = noise(3 * mebibyte);
    await storage.put('a', bodyOf(plain));
    failNth(/^GET site-\d+\/a/, 1, 'truncate');
    expect(
      (await bytes(await storage.get('a', { start: 5, end: 2_500_000 }))).equals(plain.subarray(5, 2_500_000)),
    ).toBe(true);

    failNth(/^GET site-\d+\/a/, 1, 'truncate');
    const reading = await storage.get('a');
    await storage.remove('a');
    await storage.put('a', bodyOf(noise(3 * mebibyte, 2)));
    expect(await endOf(bytes(reading))).toBe('unavailable');
  });

  test('a read that breaks off again and again ends as unavailable', async () => {
    await storage.put('a', bodyOf(noise(1000)));
    server.fault = (request) => (request.includes('/a') ? 'truncate' : undefined);

    expect(await endOf(bytes(await storage.get('a', { start: 0, end: 1 })))).toBe('unavailable');
  });
});

describe('what lies there', () => {
  test('listings go over pages, and leave out what is no object', async () => {
    server.dialect.pageSize = 3;
    const keys = Array.from({ length: 10 }, (_, index) => `f${index % 3}/${index}`);
    for (const key of keys) await storage.put(key, bodyOf(key));
    const at = { bytes: Buffer.from(''), writer: '', at: new Date() };
    for (const foreign of ['.probe-left', 'f0/', 'f1/.hidden']) {
      server.objects.set(site.destination.prefix + foreign, at);
    }

    expect((await all(storage.list(''))).map(({ key }) => key)).toEqual(keys.toSorted());
    expect(await storage.folders('')).toEqual(['f0/', 'f1/', 'f2/']);
  });

  test('the generations of one object are found without a listing of all that lies beside it', async () => {
    server.dialect.pageSize = 3;
    const others = Array.from({ length: 20 }, (_, index) => `a/0${index.toString().padStart(2, '0')}.zst.age`);
    for (const key of [...others, 'a/007.zst.2.age']) await storage.put(key, bodyOf(key));
    const asked = server.requests.length;

    expect(await storage.folders('a/', 'a/007.zst.age')).toEqual(['007.zst.2.age', '007.zst.age']);
    expect(server.requests.length - asked).toBe(1);
  });

  test('a sweep aborts uploads that nobody added to since, those below the prefix only, and removes probes', async () => {
    const [half, rest] = [gate(), gate()];
    const slow = async function* () {
      yield Buffer.alloc(20 * mebibyte, 'x');
      half.open();
      await rest.opened;
    };
    const put = storage.put('a/b', slow());
    await half.opened;
    server.objects.set(`${site.destination.prefix}.probe-1`, { bytes: Buffer.from(''), writer: '', at: new Date(0) });

    expect(await storage.sweep('', new Date(Date.now() - 60_000))).toBe(1);
    expect(await storage.sweep('other/', new Date(Date.now() + 60_000))).toBe(0);
    expect(await storage.sweep('', new Date(Date.now() + 60_000))).toBe(1);
    rest.open();

    // What was swept away under its writer is an error of the writer's, and no object.
    expect(await endOf(put)).toBe('refused');
    expect(await all(storage.list(''))).toEqual([]);
  });

  test("the clock is the store's own", async () => {
    server.dialect.clockShiftMs = 3_600_000;

    expect((await storage.clock()).getTime() - Date.now()).toBeGreaterThan(3_500_000);
  });

  test('who may not put is told so, and the question leaves nothing', async () => {
    expect(await storage.mayPut('guests/')).toBe(true);
    server.answers.set('POST', [403, 'AccessDenied']);
    expect(await storage.mayPut('guests/')).toBe(false);
    expect([server.uploads.size, server.objects.size]).toEqual([0, 0]);
  });
});

test.each([
  [{ Status: 'Enabled', Expiration: { Days: 7 }, Filter: {} }, 'fault'],
  [{ Status: 'Enabled', Expiration: { Days: 7 }, Prefix: 'backup/' }, 'fault'],
  [{ Status: 'Enabled', Expiration: { Days: 7 }, Filter: { Prefix: 'backup/wal/' } }, 'fault'],
  [{ Status: 'Enabled', Transitions: [{ Days: 1, StorageClass: 'GLACIER' }] }, 'fault'],
  [{ Status: 'Enabled', Expiration: { Days: 7 }, Filter: { Prefix: 'logs/' } }, undefined],
  [{ Status: 'Disabled', Expiration: { Days: 7 } }, undefined],
  [{ Status: 'Enabled', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 } }, undefined],
  [{ Status: 'Enabled', NoncurrentVersionExpiration: { NoncurrentDays: 1 } }, undefined],
] as const)('the lifecycle rule %o is %s for a repository in backup/', (rule, is) => {
  expect(
    remarkOnRule({ ...rule, Transitions: 'Transitions' in rule ? [...rule.Transitions] : [] }, 'backup/')?.is,
  ).toBe(is);
});

test.each([
  ['s3-access-key', { 's3-access-key': '' }],
  ['s3-secret-key', { 's3-secret-key': '' }],
  ['s3-region', { 's3-endpoint': '' }],
])('without the option %s it is said which one is missing', async (option, more) => {
  await expect(site.open({ access: server.access(more) })).rejects.toMatchObject({
    kind: 'settings',
    message: expect.stringContaining(option),
  });
});

test('the secret stands in no error and no request', async () => {
  server.answers.set('GET', [403, 'SignatureDoesNotMatch']);
  const error = await storage.get('a').catch((thrown: unknown) => thrown);

  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('secret-of-the-test');
  expect(String(error instanceof Error ? error.stack : '')).not.toContain('secret-of-the-test');
  expect(await text(bodyOf(server.requests.join()))).not.toContain('secret-of-the-test');
});
