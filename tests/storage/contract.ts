import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Storage } from '../../src/storage/storage.ts';
import { all, bodyOf, bytes, gate, noise, text } from './bytes.ts';

/** A fresh, empty destination that a run of the contract may fill. */
export interface ContractDestination {
  /** Opens it; every call gives a handle of its own on the same destination, as another process would have. */
  open(): Promise<Storage>;
  /** Takes it away with all that is in it. */
  destroy(): Promise<void>;
}

const mebibyte = 1024 * 1024;
const notKeys = ['', '/a', 'a/', '../a', 'a/../b', 'a//b', '.a', 'a/.b', 'a b', 'ä', 'a\0b', 'a\\b', 'a\n'];

/** Holds a storage to every guarantee of its interface; a destination's own test file calls it with its factory. */
export function storageContract(name: string, make: () => Promise<ContractDestination>): void {
  let destination: ContractDestination;
  let storage: Storage;
  let other: Storage;

  describe(`${name} keeps the contract of a storage`, () => {
    beforeEach(async () => {
      destination = await make();
      storage = await destination.open();
      other = await destination.open();
    });
    afterEach(async () => {
      await storage.close();
      await other.close();
      await destination.destroy();
    });

    putting(() => [storage, other]);
    puttingHalf(() => [storage, other]);
    reading(() => [storage, other]);
    listing(() => [storage, other]);
    removing(() => [storage, other]);
    telling(() => storage);
  });
}

type Handles = () => readonly [Storage, Storage];

function putting(handles: Handles): void {
  test.each([0, 1, 65_536, mebibyte, 3 * mebibyte + 1])('%i bytes come back as they were put', async (length) => {
    const [storage, other] = handles();
    const plain = noise(length);

    await storage.put('a/b', bodyOf(plain.subarray(0, length / 3), new Uint8Array(), plain.subarray(length / 3)));

    expect((await bytes(await other.get('a/b'))).equals(plain)).toBe(true);
    expect(await all(other.list(''))).toEqual([{ key: 'a/b', sizeBytes: length }]);
  });

  test('what is put stays as it is in the hands of who gave it, whatever part of its memory it is', async () => {
    const [storage] = handles();
    const memory = noise(300_000);
    const [alone, part] = [new Uint8Array(memory), new Uint8Array(memory).subarray(1000, 250_000)];

    await storage.put('a', bodyOf(alone, part));

    expect([memory.equals(alone), memory.subarray(1000, 250_000).equals(part)]).toEqual([true, true]);
    expect((await bytes(await storage.get('a'))).equals(Buffer.concat([alone, part]))).toBe(true);
  });

  test.each(['the same bytes', 'other bytes'])('a key is written once: %s are a conflict', async (second) => {
    const [storage, other] = handles();
    await storage.put('k', bodyOf('the same bytes'));

    for (const handle of [storage, other]) {
      await expect(handle.put('k', bodyOf(second))).rejects.toMatchObject({ kind: 'conflict' });
    }

    expect(await text(await storage.get('k'))).toBe('the same bytes');
    expect(await all(storage.list(''))).toHaveLength(1);
  });

  test('of many that put one key at once exactly one wins, and its bytes are whole', async () => {
    const [storage, other] = handles();
    const bodies = Array.from({ length: 10 }, (_, index) => noise(100_000, index + 1));

    const settled = await Promise.allSettled(
      bodies.map(async (body, index) => await (index % 2 === 0 ? storage : other).put('one/key', bodyOf(body))),
    );

    const winners = settled.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []));
    expect(winners).toHaveLength(1);
    expect((await bytes(await storage.get('one/key'))).equals(bodies[winners[0] ?? -1] ?? Buffer.alloc(0))).toBe(true);
    for (const each of settled) if (each.status === 'rejected') expect(each.reason).toMatchObject({ kind: 'conflict' });
  });
}

function puttingHalf(handles: Handles): void {
  test('an error of the body is passed on and leaves nothing', async () => {
    const [storage, other] = handles();
    const error = Object.assign(new Error('the source broke'), { code: 'ENOENT' });
    const broken = async function* () {
      yield Buffer.from('half');
      throw error;
    };

    await expect(storage.put('a/b', broken())).rejects.toBe(error);

    await expect(other.get('a/b')).rejects.toMatchObject({ kind: 'missing' });
    expect(await all(other.list(''))).toEqual([]);
    await storage.put('a/b', bodyOf('whole'));
    expect(await text(await other.get('a/b'))).toBe('whole');
  });

  test.each([0, 5, 9 * mebibyte + 5])('a pace is asked for each of %i bytes before it leaves', async (length) => {
    const [storage, other] = handles();
    let taken = 0;
    const pace = {
      take: async (count: number) => {
        taken += count;
      },
    };

    await storage.put('a/b', bodyOf(noise(length)), pace);

    expect(taken).toBe(length);
    expect((await bytes(await other.get('a/b'))).equals(noise(length))).toBe(true);
  });

  test.each([5, 20 * mebibyte])('as long as a pace lets no byte out there is nothing of %i bytes', async (length) => {
    const [storage, other] = handles();
    const asked = gate();
    const go = gate();
    const pace = {
      take: async () => {
        asked.open();
        await go.opened;
      },
    };

    const put = storage.put('a/b', bodyOf(Buffer.alloc(length, 'x')), pace);
    await asked.opened;
    const seen = await all(other.list(''));
    go.open();
    await put;

    expect(seen).toEqual([]);
    expect(await all(other.list(''))).toEqual([{ key: 'a/b', sizeBytes: length }]);
  });

  test('nobody sees an object before it is whole', async () => {
    const [storage, other] = handles();
    const half = gate();
    const rest = gate();
    const slow = async function* () {
      yield Buffer.from('half ');
      half.open();
      await rest.opened;
      yield Buffer.from('whole');
    };

    const put = storage.put('a/b', slow());
    await half.opened;
    const seen = {
      list: await all(other.list('')),
      names: (await other.folders('a/')).filter((each) => !each.endsWith('/')),
      get: await other.get('a/b').catch((error: unknown) => error),
    };
    rest.open();
    await put;

    expect(seen).toMatchObject({ list: [], names: [], get: { kind: 'missing' } });
    expect(await text(await other.get('a/b'))).toBe('half whole');
  });

  test('what is no key is our own fault and touches nothing', async () => {
    const [storage] = handles();

    for (const key of notKeys) {
      await expect(storage.put(key, bodyOf('x')), JSON.stringify(key)).rejects.toMatchObject({ kind: 'internal' });
      await expect(storage.get(key), JSON.stringify(key)).rejects.toMatchObject({ kind: 'internal' });
      await expect(storage.remove(key), JSON.stringify(key)).rejects.toMatchObject({ kind: 'internal' });
    }

    expect(await all(storage.list(''))).toEqual([]);
  });
}

function reading(handles: Handles): void {
  test('missing is said before the first byte: of an unknown key, of a folder, of what would lie below an object', async () => {
    const [storage] = handles();
    await storage.put('a/b', bodyOf('x'));

    for (const key of ['b', 'a', 'a/c', 'a/b/c', 'c/d/e']) {
      await expect(storage.get(key), key).rejects.toMatchObject({ kind: 'missing' });
    }
  });

  test.each([
    [{ start: 0, end: 0 }, ''],
    [{ start: 0, end: 3 }, '012'],
    [{ start: 3, end: 7 }, '3456'],
    [{ start: 8, end: 100 }, '89'],
    [{ start: 10, end: 20 }, ''],
    [{ start: 50, end: 60 }, ''],
  ])('the range %o of ten digits is "%s"', async (range, expected) => {
    const [storage] = handles();
    await storage.put('digits', bodyOf('01234', '56789'));

    expect(await text(await storage.get('digits', range))).toBe(expected);
  });

  test('a reader that stops early leaves the object as it is, for reading and for removal', async () => {
    const [storage, other] = handles();
    const plain = noise(5 * mebibyte);
    await storage.put('large', bodyOf(plain));

    for await (const chunk of await storage.get('large')) if (chunk.byteLength > 0) break;

    expect((await bytes(await other.get('large'))).equals(plain)).toBe(true);
    await storage.remove('large');
    await expect(other.get('large')).rejects.toMatchObject({ kind: 'missing' });
  });
}

const folderName = fc.stringMatching(/^[A-Za-z0-9_@-]{1,3}$/);
const fileName = fc.stringMatching(/^[A-Za-z0-9_@-]{1,3}\.[a-z.-]{1,2}$/);
const key = fc
  .tuple(fc.array(folderName, { maxLength: 3 }), fileName)
  .map(([above, file]) => [...above, file].join('/'));

function listing(handles: Handles): void {
  test("objects are listed in the order of their keys' bytes, those below the prefix only", async () => {
    const [storage, other] = handles();
    const keys = ['a-b', 'a.b', 'a/b', 'a/c/d', 'a/c.d', 'a0', 'a_b', 'A', 'Z/z', 'ab/a', '_u/x', '@/y', '-/z'];
    for (const each of keys) await storage.put(each, bodyOf(each));

    const list = async (prefix: string) => (await all(other.list(prefix))).map((each) => each.key);

    expect(await list('')).toEqual(keys.toSorted());
    expect(await list('a/')).toEqual(['a/b', 'a/c.d', 'a/c/d']);
    expect(await list('_u/')).toEqual(['_u/x']);
    expect(await list('nothing/here/')).toEqual([]);
    expect(await other.folders('')).toEqual(
      ['-/', '@/', 'A', 'Z/', '_u/', 'a-b', 'a.b', 'a/', 'a0', 'a_b', 'ab/'].toSorted(),
    );
    expect(await other.folders('a/')).toEqual(['b', 'c.d', 'c/']);
    expect(await other.folders('nothing/')).toEqual([]);
  });

  test('what an answer is wanted for is in it, with all that begins as its name does up to the first dot', async () => {
    const [storage, other] = handles();
    for (const key of ['a/b.age', 'a/b.2.age', 'a/b.10.age', 'a/b/c', 'a/c.age', 'b.age']) {
      await storage.put(key, bodyOf(key));
    }

    const names = await other.folders('a/', 'a/b.10.age');

    expect(names.filter((name) => name.startsWith('b'))).toEqual(['b.10.age', 'b.2.age', 'b.age', 'b/']);
    expect(['c.age']).toEqual(expect.arrayContaining(names.filter((name) => !name.startsWith('b'))));
    expect(await other.folders('a/', 'a/d.age')).not.toContain('d.age');
  });

  test('any set of keys is listed whole, in order, below any prefix', async () => {
    const [storage, other] = handles();
    let round = 0;
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(key, { maxLength: 8 }), async (keys) => {
        round += 1;
        const top = `r${round}/`;
        await Promise.all(keys.map(async (each) => await storage.put(top + each, bodyOf(each))));

        const listed = await all(other.list(top));

        expect(listed).toEqual(keys.toSorted().map((each) => ({ key: top + each, sizeBytes: each.length })));
        for (const below of new Set(keys.map((each) => each.slice(0, each.lastIndexOf('/') + 1)))) {
          const expected = keys.filter((each) => each.startsWith(below)).toSorted();
          expect((await all(other.list(top + below))).map((each) => each.key)).toEqual(
            expected.map((each) => top + each),
          );
        }
      }),
      { numRuns: 15 },
    );
  });
}

function removing(handles: Handles): void {
  test('a removed object is gone, its neighbours stay, and its key can be written again', async () => {
    const [storage, other] = handles();
    for (const each of ['a/b/c', 'a/b/d', 'e']) await storage.put(each, bodyOf('old'));

    await storage.remove('a/b/c');
    await other.remove('a/b/c');
    await storage.remove('never/was');

    expect((await all(other.list(''))).map((each) => each.key)).toEqual(['a/b/d', 'e']);
    await storage.put('a/b/c', bodyOf('new'));
    expect(await text(await other.get('a/b/c'))).toBe('new');
  });

  test('a folder whose last object is removed can be filled again, by those who knew it too', async () => {
    const [storage, other] = handles();
    await storage.put('a/b/c/d', bodyOf('1'));

    await other.remove('a/b/c/d');
    expect(await other.folders('')).toEqual([]);
    await storage.put('a/b/c/e', bodyOf('2'));

    expect((await all(other.list(''))).map((each) => each.key)).toEqual(['a/b/c/e']);
  });

  test('puts succeed while others empty the same folders', async () => {
    const [storage, other] = handles();

    await Promise.all(
      [storage, other].map(async (handle, who) => {
        for (let round = 0; round < 30; round += 1) {
          const name = `x/y/z/${who}-${round}`;
          await handle.put(name, bodyOf(name));
          if (round % 2 === 1) await handle.remove(name);
        }
      }),
    );

    expect(await all(storage.list(''))).toHaveLength(30);
  });

  test('a sweep leaves every whole object where it is', async () => {
    const [storage, other] = handles();
    await storage.put('a/b', bodyOf('x'));

    expect(await other.sweep('', new Date(Date.now() + 60_000))).toBe(0);

    expect(await text(await storage.get('a/b'))).toBe('x');
  });
}

function telling(storage: () => Storage): void {
  test('it says how much fits, what time it is, and where it is', async () => {
    const free = await storage().freeBytes();
    const skew = Math.abs((await storage().clock()).getTime() - Date.now());

    expect(free ?? 1).toBeGreaterThan(0);
    expect(skew).toBeLessThan(5000);
    expect(storage().url).toMatch(/^[a-z0-9]+:\/\//);
    expect(await all(storage().list(''))).toEqual([]);
  });
}
