import { expect, test } from 'vitest';
import { giveBack } from '../../src/system/memory.ts';

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
