import { expect, test } from 'vitest';
import { aboutSecond, aboutSecondOfFiles, type SecondFact } from '../../src/core/second-findings.ts';

const now = new Date('2026-11-24T03:00:00.000Z');
const ago = (minutes: number) => new Date(now.getTime() - minutes * 60_000);
const url = 'file:///srv/second';
const well: SecondFact = {
  url,
  isFilled: true,
  away: undefined,
  behind: { objects: 0, since: undefined },
  only: { objects: 0, since: undefined, lies: url },
};
const away = (kind: string, minutes: number) => ({
  kind,
  message: `the second destination: ${url} is not there`,
  hint: 'Mount it.',
  since: ago(minutes),
});

test.each<[string, Partial<SecondFact>, string, string]>([
  ['whole', {}, 'ok', 'has everything'],
  ['being filled', { isFilled: false }, 'ok', 'is not filled yet'],
  ['not filled because it is away', { isFilled: false, away: away('unavailable', 60) }, 'attention', 'not filled yet'],
  ['away for a moment', { away: away('unavailable', 1) }, 'ok', 'is not there, since 2026-11-24T02:59:00.000Z'],
  [
    'away for a while',
    { away: away('unavailable', 10), behind: { objects: 14, since: ago(9) } },
    'attention',
    'it lacks 14 objects, since 2026-11-24T02:51:00.000Z',
  ],
  ['away for long', { away: away('unavailable', 40) }, 'alarm', 'is not there'],
  ['behind', { behind: { objects: 1, since: ago(40) } }, 'alarm', `${url} lacks 1 object, since`],
  ['not ours', { away: away('refused', 1) }, 'blocked', 'is not there'],
  ['in contradiction', { away: away('conflict', 1) }, 'blocked', 'nothing is archived'],
])('a second destination that is %s is told so', (_what, fact, level, text) => {
  const found = aboutSecond('15/main', { ...well, ...fact }, now);

  expect(found).toHaveLength(1);
  expect(found[0]?.level).toBe(level);
  expect(found[0]?.text).toContain(text);
});

test('WAL that lies there only is told, and after the option was emptied it is for a person', () => {
  const only = { objects: 2, since: ago(10), lies: url };

  const [first] = aboutSecond('15/main', { ...well, only }, now);
  const [emptied] = aboutSecond('15/main', { ...well, only, url: undefined }, now);

  expect(first).toMatchObject({ level: 'attention', text: expect.stringContaining(`2 WAL files lie at ${url} only`) });
  expect(emptied).toMatchObject({ level: 'blocked', next: expect.stringContaining(`destination-2 to ${url}`) });
});

test.each<[string, Partial<SecondFact>, string, string]>([
  ['away for a while', { away: away('unavailable', 10) }, 'attention', 'is not there, since'],
  [
    'behind',
    { behind: { objects: 3, since: ago(40) } },
    'alarm',
    `files: the second destination ${url} lacks 3 objects`,
  ],
  ['not ours', { away: away('refused', 1) }, 'blocked', 'is not there'],
  ['in contradiction', { away: away('conflict', 1) }, 'blocked', 'no files are kept'],
])('a Landscape unit, which fills nothing, tells one that is %s', (_what, fact, level, text) => {
  expect(aboutSecondOfFiles({ ...well, ...fact, isFilled: false }, now)).toMatchObject([
    { level, text: expect.stringContaining(text) },
  ]);
});

test('without a second destination nothing is said, nor on a Landscape unit of one that lacks nothing', () => {
  expect(aboutSecond('15/main', undefined, now)).toEqual([]);
  expect(aboutSecondOfFiles(undefined, now)).toEqual([]);
  expect(aboutSecondOfFiles({ ...well, isFilled: false }, now)).toEqual([]);
});
