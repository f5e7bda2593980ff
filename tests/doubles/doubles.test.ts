import { describe, expect, test } from 'vitest';
import { all, bodyOf, gate, text } from '../storage/bytes.ts';
import { storageContract } from '../storage/contract.ts';
import { faultyStorage, type Fault } from './faulty-storage.ts';
import { fixedClock } from './fixed-clock.ts';
import { MemoryDestination } from './memory-storage.ts';

async function memory() {
  const destination = new MemoryDestination();
  return { open: async () => destination.open(), destroy: async () => undefined };
}

async function faultless() {
  const destination = new MemoryDestination();
  return { open: async () => faultyStorage(destination.open(), []), destroy: async () => undefined };
}

storageContract('the memory storage', memory);
storageContract('the faulty storage without faults', faultless);

describe('the faulty storage', () => {
  const make = (...script: Fault[]) => {
    const destination = new MemoryDestination();
    return { destination, storage: faultyStorage(destination.open(), script) };
  };

  test('fails before a put and has stored nothing, only on the call that the script names', async () => {
    const { destination, storage } = make({ on: 'put', key: /^b/, nth: 2, do: 'fail-before', kind: 'refused' });

    await storage.put('b1', bodyOf('1'));
    await storage.put('a', bodyOf('1'));
    await expect(storage.put('b2', bodyOf('2'))).rejects.toMatchObject({ kind: 'refused' });
    await storage.put('b3', bodyOf('3'));

    expect([...destination.objects.keys()].toSorted()).toEqual(['a', 'b1', 'b3']);
  });

  test('fails after a put and has stored it', async () => {
    const { destination, storage } = make({ on: 'put', do: 'fail-after' });

    await expect(storage.put('a', bodyOf('1'))).rejects.toMatchObject({ kind: 'unavailable' });

    expect(destination.objects.has('a')).toBe(true);
  });

  test('cuts a body without a word, and breaks one aloud', async () => {
    const { storage } = make(
      { on: 'get', key: /cut/, do: 'truncate', afterBytes: 3 },
      { on: 'get', key: /broken/, do: 'break', afterBytes: 3 },
    );
    await storage.put('cut', bodyOf('01', '23', '45'));
    await storage.put('broken', bodyOf('012345'));

    expect(await text(await storage.get('cut'))).toBe('012');
    await expect(text(await storage.get('broken'))).rejects.toMatchObject({ kind: 'unavailable' });
  });

  test('stalls until it is released', async () => {
    const { opened, open } = gate();
    const { storage } = make({ on: 'list', do: 'stall', release: opened });
    await storage.put('a', bodyOf(''));

    const listed = all(storage.list(''));
    const first = await Promise.race([listed, new Promise((resolve) => setTimeout(resolve, 20, 'stalled'))]);
    open();

    expect(first).toBe('stalled');
    expect(await listed).toHaveLength(1);
  });

  test('has a clock that is wrong', async () => {
    const { storage } = make({ on: 'clock', do: 'shift', milliseconds: 3_600_000 });

    expect((await storage.clock()).getTime() - Date.now()).toBeGreaterThan(3_500_000);
  });
});

test('the fixed clock stands still until it is moved', () => {
  const clock = fixedClock(new Date('2026-11-24T00:00:00Z'));
  const held = clock.now();

  clock.move(1000);

  expect(clock.now().getTime() - held.getTime()).toBe(1000);
  clock.set(new Date('2027-01-01T00:00:00Z'));
  expect(clock.now().toISOString()).toBe('2027-01-01T00:00:00.000Z');
});
