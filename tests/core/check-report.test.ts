import { expect, test } from 'vitest';
import { clockFault, failed, passed, reportExitCode, reportText } from '../../src/core/check-report.ts';
import { Failure } from '../../src/core/failure.ts';

test('a report without a fault exits 0', () => {
  expect(reportExitCode({ checks: [passed('a', 'x')], notTried: [] })).toBe(0);
});

test('the worst kind decides the exit code, whatever the order', () => {
  const checks = [
    failed('a', new Failure('unavailable', 'x')),
    failed('b', new Failure('damaged', 'y')),
    failed('c', new Failure('refused', 'z')),
  ];
  expect(reportExitCode({ checks, notTried: [] })).toBe(7);
  expect(reportExitCode({ checks: checks.toReversed(), notTried: [] })).toBe(7);
  expect(reportExitCode({ checks: checks.slice(0, 1), notTried: [] })).toBe(5);
});

test('the text tells what is wrong, what to do, and what was not tried', () => {
  const checks = [
    passed('settings', 'valid'),
    failed('destination', new Failure('unavailable', 'it is gone', { hint: 'Mount it.' })),
  ];
  expect(reportText({ checks, notTried: ['wal'] })).toBe(
    'ok   settings: valid\nFAIL destination: it is gone\n     next: Mount it.\n--   wal: not tried, because of what failed before it\n',
  );
  expect(reportText({ checks: checks.slice(0, 1), notTried: ['wal'] })).toContain('wal: does not apply here');
});

test('clocks may be five minutes apart and no more', () => {
  const at = (seconds: number) => new Date(seconds * 1000);
  expect(clockFault({ 'this machine': at(0), PostgreSQL: at(300), 'the destination': at(10) })).toBeUndefined();
  expect(clockFault({ 'this machine': at(0), PostgreSQL: at(3), 'the destination': at(-298) })).toBe(
    'the clock of PostgreSQL is 301 s ahead of that of the destination',
  );
});
