import { expect, test } from 'vitest';
import { isHeld } from '../../src/core/lease.ts';
import { lease, now } from './catalogue-builder.ts';

test.each([
  ['with a heartbeat a day minus a moment ago', lease({ hoursAgo: 23.9999 }), true],
  ['with a heartbeat a day ago', lease({ hoursAgo: 24 }), false],
  ['with a heartbeat from the future', lease({ hoursAgo: -3 }), true],
  ['that was ended', lease({ hoursAgo: 0, ended: true }), false],
  ['that can not be read', { key: 'a/lease', lease: undefined, isGuest: true }, true],
])('a lease %s', (_which, held, expected) => {
  expect(isHeld(held, now)).toBe(expected);
});
