import { expect, test } from 'vitest';
import { backupListSchema, type BackupList, type ListedIncarnation } from '../../src/core/backup-list.ts';
import { timelineText } from '../../src/core/timeline-text.ts';

const at = (text: string) => new Date(`2026-11-${text}Z`);

const backup = (
  id: string,
  stoppedAt: Date,
  change: Partial<ListedIncarnation['backups'][number]> = {},
): ListedIncarnation['backups'][number] => ({
  id,
  label: '',
  timeline: 1,
  startedAt: stoppedAt,
  stoppedAt,
  stopLsn: 0x3000100n,
  plainBytes: 3 * 1024 ** 3,
  storedBytes: 700 * 1024 ** 2,
  withWal: false,
  fault: null,
  ...change,
});

const owner = { model: 'm', application: 'db-1', unit: '15-main', since: at('17T01:00:00') };

const list: BackupList = {
  clusters: [
    {
      systemIdentifier: '7400000000000000001',
      incarnations: [
        {
          incarnation: 1,
          isOwn: true,
          owner,
          parent: null,
          lastSignOfLife: at('24T02:55:00'),
          backups: [
            backup('20261117T020000Z-aaaaaa', at('17T02:10:00'), { label: 'before upgrade' }),
            backup('20261120T020000Z-bbbbbb', at('20T02:10:00'), {
              fault: 'it is marked as damaged: base.tar.zst.00001',
            }),
            backup('20261124T020000Z-cccccc', at('24T02:10:00')),
          ],
          unfinished: [{ id: '20261123T020000Z-dddddd', storedBytes: 1024, unreadable: null }],
          windows: [
            {
              timeline: 1,
              from: { lsn: 1n, at: at('17T02:10:00') },
              to: { lsn: 2n, at: at('21T12:00:00') },
              backups: ['a', 'b'],
            },
            {
              timeline: 1,
              from: { lsn: 3n, at: at('24T02:10:00') },
              to: { lsn: 4n, at: at('24T02:55:00') },
              backups: ['c'],
            },
          ],
          holes: [
            { timeline: 1, firstSegment: 7, lastSegment: 7, at: at('21T12:05:00'), why: 'WAL segment 7 is not stored' },
          ],
          restorePoints: [{ name: 'before-25.10', timeline: 1, lsn: 0x16b374d848n, at: at('18T09:00:00') }],
        },
        {
          incarnation: 2,
          isOwn: false,
          owner: { ...owner, application: 'spare' },
          parent: { incarnation: 1, timeline: 1, lsn: 0x16b374d848n },
          lastSignOfLife: at('22T00:00:00'),
          backups: [],
          unfinished: [],
          windows: [],
          holes: [],
          restorePoints: [],
        },
      ],
    },
  ],
};

test('a list becomes the same text every time', () => {
  expect(timelineText(list)).toBe(`cluster 7400000000000000001
  incarnation 1: this unit
    |o========================o============                     o|
     2026-11-17                                        2026-11-24   o backup  = any second
    any second from 2026-11-17T02:10:00Z to 2026-11-21T12:00:00Z on timeline 1
    any second from 2026-11-24T02:10:00Z to 2026-11-24T02:55:00Z on timeline 1
    20261117T020000Z-aaaaaa  "before upgrade"  ends 2026-11-17T02:10:00Z, 3.0 GiB in 700 MiB
    20261120T020000Z-bbbbbb  ends 2026-11-20T02:10:00Z, 3.0 GiB in 700 MiB, NOT USABLE: it is marked as damaged: base.tar.zst.00001
    20261124T020000Z-cccccc  ends 2026-11-24T02:10:00Z, 3.0 GiB in 700 MiB
    20261123T020000Z-dddddd  not complete (1.0 KiB)
    hole, found 2026-11-21T12:05:00Z: WAL segment 7 is not stored
    restore point "before-25.10": 2026-11-18T09:00:00Z, timeline 1 at 16/B374D848
  incarnation 2: 15-main of spare, read-only, last sign of life 2026-11-22T00:00:00Z, continues 1 from timeline 1 at 16/B374D848
    no complete backup: nothing can be restored
`);
});

test('the list has the documented JSON shape and comes back from it', () => {
  expect(backupListSchema.parse(JSON.parse(JSON.stringify(backupListSchema.encode(list))))).toEqual(list);
});

test('an empty repository says what to do', () => {
  expect(timelineText({ clusters: [] })).toContain('landscape-backup init, then landscape-backup backup');
});
