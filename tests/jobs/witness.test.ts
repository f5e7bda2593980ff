import { afterEach, beforeEach, expect, test } from 'vitest';
import type { WitnessSample } from '../../src/core/witness.ts';
import { readWitnessState, witness, type WitnessContext } from '../../src/jobs/witness.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { layout } from '../../src/repository/layout.ts';
import { lsnIn, segmentSize } from '../core/catalogue-builder.ts';
import { makeSite, makeUnit, objectsOf, storeBackup, storeSegments, type Site } from './prune-site.ts';

let site: Site;
let ended: number;
let current: Omit<WitnessSample, 'at'> | undefined;
beforeEach(async () => {
  site = await makeSite();
  ended = 0;
  await storeBackup(site, { daysAgo: 1, segment: 3 });
  await storeSegments(site, 3, 6);
  current = { timeline: 1, lsn: lsnIn(7, 500), nextTransaction: '100', isQuiet: true };
});
afterEach(async () => {
  await site.destroy();
});

function contextOf({ unit }: Pick<Site, 'unit'> = site): WitnessContext {
  return {
    unit,
    repository: site.repository,
    clock: site.clock,
    server: {
      segmentSize,
      sample: async () => (current === undefined ? undefined : { ...current, at: site.clock.now() }),
      endSegment: async () => {
        ended += 1;
      },
    },
  };
}

async function newest() {
  const { incarnations } = await readCatalogue(site.repository, site.place.systemIdentifier);
  const found = incarnations[0]?.witness;
  return found === undefined ? undefined : { at: found.at.toISOString(), lsn: found.lsn };
}

async function later(minutes: number): Promise<string> {
  site.clock.move(minutes * 60_000);
  return await witness(contextOf());
}

test('nothing is written before everything up to the sample is stored', async () => {
  const sampledAt = site.clock.now().toISOString();

  expect(await witness(contextOf())).toBe('waiting');
  expect(await newest()).toBeUndefined();

  await storeSegments(site, 7, 7);
  expect(await later(1)).toBe('written');
  expect(await newest()).toEqual({ at: sampledAt, lsn: lsnIn(7, 500) });
});

test('a hole on the way keeps it from being written', async () => {
  current = { timeline: 1, lsn: lsnIn(9, 500), nextTransaction: '100', isQuiet: true };
  await storeSegments(site, 8, 9);

  expect(await witness(contextOf())).toBe('waiting');
  await storeSegments(site, 7, 7);
  expect(await later(1)).toBe('written');
});

test('a segment that does not end by itself within a minute is ended once', async () => {
  await witness(contextOf());
  expect(ended).toBe(0);

  await later(1);
  await later(1);
  await later(1);

  expect(ended).toBe(1);
});

test('a segment that holds nothing but its header is not waited for', async () => {
  current = { timeline: 1, lsn: lsnIn(7, 40), nextTransaction: '100', isQuiet: true };

  expect(await witness(contextOf())).toBe('written');
  expect((await newest())?.lsn).toBe(lsnIn(7));
});

test('an idle server gives a new time every five minutes and makes no more WAL', async () => {
  await witness(contextOf());
  await later(1);
  await storeSegments(site, 7, 7);
  expect(await later(1)).toBe('written');
  // The switch itself, and a checkpoint, move the end on without anybody's transaction.
  current = { timeline: 1, lsn: lsnIn(8, 96), nextTransaction: '100', isQuiet: true };

  for (let round = 0; round < 12; round += 1) await later(5);

  expect(ended).toBe(1);
  expect(await newest()).toEqual({ at: site.clock.now().toISOString(), lsn: lsnIn(7, 500) });
});

test.each([
  ['a transaction was numbered in between', { nextTransaction: '101', isQuiet: true }],
  ['a transaction is running', { nextTransaction: '100', isQuiet: false }],
  ['the timeline is another', { nextTransaction: '100', isQuiet: true, timeline: 2 }],
])('the earlier end does not stand for a new time when %s', async (_what, change) => {
  await storeSegments(site, 7, 7);
  expect(await witness(contextOf())).toBe('written');
  const before = await newest();
  current = { timeline: 1, lsn: lsnIn(8, 500), ...change };

  expect(await later(5)).toBe('waiting');
  expect(await newest()).toEqual(before);
});

test('samples are at least five minutes apart', async () => {
  await storeSegments(site, 7, 7);
  await witness(contextOf());

  expect(await later(4)).toBe('nothing');
  expect(await later(1)).toBe('written');
});

test('a sample whose WAL does not arrive gives way to a younger one', async () => {
  await witness(contextOf());
  await later(15);
  expect((await readWitnessState(site.unit))?.pending).toBeNull();

  await later(1);
  expect((await readWitnessState(site.unit))?.pending?.at).toEqual(site.clock.now());
});

test('a standby, and a unit that owns nothing, write nothing', async () => {
  const spare = await makeUnit(site.root, '15-spare', undefined);
  const other = await makeUnit(site.root, '15-other', 'somebody-else');
  await storeSegments(site, 7, 7);

  expect(await witness(contextOf({ unit: spare }))).toBe('nothing');
  await expect(witness(contextOf({ unit: other }))).rejects.toMatchObject({ kind: 'refused' });
  current = undefined;
  expect(await witness(contextOf())).toBe('nothing');
  expect(await objectsOf(site.storage, layout.witnesses(site.place))).toEqual([]);
});
