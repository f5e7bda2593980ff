import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { field } from '../../src/juju/databag.ts';

const pin = field('pin', z.object({ id: z.string(), url: z.string() }));

test('what is written is read', () => {
  const value = { id: 'r1', url: 'file:///srv/backup' };

  expect(pin.read(pin.write(value))).toEqual({ state: 'value', value });
  expect(pin.value(pin.write(value))).toEqual(value);
});

test('a date goes through its codec', () => {
  const instant = z.codec(z.string(), z.date(), { decode: (text) => new Date(text), encode: (at) => at.toISOString() });
  const at = field('at', z.object({ at: instant }));
  const bag = at.write({ at: new Date(0) });

  expect(bag).toEqual({ at: '{"at":"1970-01-01T00:00:00.000Z"}' });
  expect(at.value(bag)).toEqual({ at: new Date(0) });
});

test('equal values give equal texts, whatever the order of their names', () => {
  const counts = field('counts', z.record(z.string(), z.number()));

  expect(counts.write({ b: 1, a: 2 })).toEqual(counts.write({ a: 2, b: 1 }));
});

test('writing nothing deletes', () => {
  expect(pin.write(undefined)).toEqual({ pin: '' });
});

describe('reading', () => {
  test.each([
    ['nothing', {}],
    ['an empty text', { pin: '' }],
  ])('%s is absent', (_what, bag) => {
    expect(pin.read(bag)).toEqual({ state: 'absent' });
  });

  test.each([
    ['another shape', '{"identity":"r1"}'],
    ['text that is no JSON', '{"id":'],
    ['null', 'null'],
  ])('%s is unreadable, and no value', (_what, text) => {
    expect(pin.read({ pin: text })).toEqual({ state: 'unreadable', text });
    expect(pin.value({ pin: text })).toBeUndefined();
  });

  test('text that is no JSON is unreadable even where nothing is a value', () => {
    expect(field('a', z.string().optional()).read({ a: '{' })).toEqual({ state: 'unreadable', text: '{' });
  });
});
