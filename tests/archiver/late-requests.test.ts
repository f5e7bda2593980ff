import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { archiveLimitMs } from '../../src/archiver/archive-wal.ts';
import { LateRequests } from '../../src/archiver/late-requests.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a request that was given up is told in its own words until it has ended, and then the next one may be asked', async () => {
  const requests = new LateRequests();
  const { promise, resolve } = Promise.withResolvers<string>();
  const given = expect(requests.bounded('storing a segment', promise)).rejects.toThrow(
    'storing a segment took longer than 240 s',
  );
  expect(() => {
    requests.refuse();
  }).not.toThrow();
  await vi.advanceTimersByTimeAsync(archiveLimitMs);
  await given;

  expect(() => {
    requests.refuse();
  }).toThrow('storing a segment took longer than 240 s');

  resolve('stored after all');
  await vi.advanceTimersByTimeAsync(0);
  expect(() => {
    requests.refuse();
  }).not.toThrow();
  expect(await requests.bounded('storing the next', Promise.resolve('stored'))).toBe('stored');
});

test('what failed by itself is in nobody’s way', async () => {
  const requests = new LateRequests();
  await expect(requests.bounded('storing a segment', Promise.reject(new Error('refused')))).rejects.toThrow('refused');
  expect(() => {
    requests.refuse();
  }).not.toThrow();
});
