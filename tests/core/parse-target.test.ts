import { expect, test } from 'vitest';
import { parseTarget } from '../../src/core/parse-target.ts';

test.each([
  ['end', { to: 'end' }],
  ['backup', { to: 'backup' }],
  ['time=2026-11-24T02:03:04Z', { to: 'time', time: new Date('2026-11-24T02:03:04Z'), exclusive: false }],
  ['time=2026-11-24 03:03:04.5+01:00', { to: 'time', time: new Date('2026-11-24T02:03:04.500Z'), exclusive: false }],
  ['time=2026-11-24T02:03:04.123000z', { to: 'time', time: new Date('2026-11-24T02:03:04.123Z'), exclusive: false }],
  ['lsn=16/B374D848', { to: 'lsn', lsn: 0x16_b374_d848n, exclusive: false }],
  ['name=time=5; "quoted"', { to: 'name', name: 'time=5; "quoted"' }],
  ['xid=734', { to: 'xid', xid: 734, exclusive: false }],
])('%s is read', (text, target) => {
  expect(parseTarget(text, false)).toEqual(target);
});

test('exclusive goes with a time, an LSN and a transaction', () => {
  for (const text of ['time=2026-11-24T02:03:04Z', 'lsn=0/1', 'xid=734']) {
    expect(parseTarget(text, true)).toMatchObject({ exclusive: true });
  }
});

test.each([
  ['time=2026-11-24T02:03:04', false, 'the time "2026-11-24T02:03:04" has no zone'],
  ['time=2026-11-24', false, '"2026-11-24" is not a time in RFC 3339'],
  ['time=2026-11-24T02:03:04 CET', false, '"2026-11-24T02:03:04 CET" is not a time in RFC 3339'],
  ['time=2026-02-30T02:03:04Z', false, '"2026-02-30T02:03:04Z" is no day and time that exists'],
  ['time=2026-11-24T25:03:04Z', false, '"2026-11-24T25:03:04Z" is no day and time that exists'],
  ['time=2026-11-24T02:03:04.123456Z', false, 'the time "2026-11-24T02:03:04.123456Z" is finer than a millisecond'],
  ['lsn=5', false, '"5" is not an LSN'],
  ['name=', false, 'the name of a restore point has 1 to 63 bytes, "" has 0'],
  [`name=${'ä'.repeat(32)}`, false, `the name of a restore point has 1 to 63 bytes, "${'ä'.repeat(32)}" has 64`],
  ['xid=2', false, '"2" is not a transaction id'],
  ['xid=4294967296', false, '"4294967296" is not a transaction id'],
  ['xid=-1', false, '"-1" is not a transaction id'],
  ['yesterday', false, '"yesterday" is not a place to restore to'],
  ['end', true, '--exclusive has no meaning with "end"'],
  ['name=x', true, '--exclusive has no meaning with a restore point'],
])('%s (exclusive: %s) is a usage failure: %s', (text, exclusive, message) => {
  expect(() => parseTarget(text, exclusive)).toThrow(expect.objectContaining({ kind: 'usage', message }));
});
