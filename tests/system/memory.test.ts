import { afterEach, expect, test, vi } from 'vitest';
import { giveBack, usedUp } from '../../src/system/memory.ts';

afterEach(() => {
  vi.unstubAllGlobals();
});

test('memory is given back with all that lies in it, once', () => {
  const bytes = Buffer.allocUnsafeSlow(64 * 1024);
  const part = bytes.subarray(10, 20);

  giveBack(part);
  giveBack(bytes);

  expect([bytes.byteLength, part.byteLength]).toEqual([0, 0]);
});

test("what lies in Node's pool stays, and so do its neighbours", () => {
  const [one, other] = [Buffer.from('one'), Buffer.from('other')];

  giveBack(one);

  expect([String(one), String(other)]).toEqual(['one', 'other']);
});

test('young buffers that nobody holds are looked for once in 4 MiB, where the program was given the right to', () => {
  const looks: unknown[] = [];
  vi.stubGlobal('gc', (options: unknown) => looks.push(options));

  for (let mib = 0; mib < 9; mib += 1) usedUp(1024 * 1024);
  vi.stubGlobal('gc', undefined);
  usedUp(64 * 1024 * 1024);

  expect(looks).toEqual([
    { type: 'minor', execution: 'sync' },
    { type: 'minor', execution: 'sync' },
  ]);
});
