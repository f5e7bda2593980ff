import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RestorePlan } from '../../src/core/restore-plan.ts';
import { keepPlan, loadPlan, planId } from '../../src/jobs/kept-plans.ts';
import { unitFolder, type UnitFolder } from '../../src/system/home.ts';

let home: string;
let unit: UnitFolder;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'lb-plans-'));
  unit = unitFolder(home, '15-main');
});

afterEach(async () => {
  await rm(home, { recursive: true, force: true });
});

const plan: RestorePlan = {
  format: 1,
  repositoryId: 'f'.repeat(32),
  url: 'file:///srv/backup',
  cluster: '15/main',
  inPlace: false,
  systemIdentifier: '7000000000000000001',
  incarnation: 1,
  backup: { id: '20261124T000000Z-3f9a1c', incarnation: 1 },
  major: '15',
  segmentSize: 16 * 1024 * 1024,
  target: { to: 'end' },
  timeline: 1,
  stop: { at: 'end' },
  switchLsn: 0x500_0148n,
  after: 0x500_0148n,
  restoredTo: null,
  directories: { data: '/var/lib/postgresql/15/main', wal: null, tablespaces: [] },
  discardOld: false,
  service: {
    repositoryId: 'f'.repeat(32),
    url: 'file:///srv/backup',
    systemIdentifier: '7000000000000000001',
    segmentSize: 16 * 1024 * 1024,
    segments: [],
    histories: [],
  },
  settings: { raised: { max_connections: 5, max_wal_senders: 6 }, carried: {} },
  credentials: 'spare',
  claims: null,
  units: [],
  notes: [],
};

test('the id is made of decisions, in any order, and not of notes', () => {
  const reordered = { ...plan, settings: { carried: {}, raised: { max_wal_senders: 6, max_connections: 5 } } };

  expect(planId(plan)).toMatch(/^[a-f][0-9a-f]{15}$/);
  expect(planId(reordered)).toBe(planId(plan));
  expect(planId({ ...plan, notes: ['something'] })).toBe(planId(plan));
  expect(planId({ ...plan, after: plan.after + 8n })).not.toBe(planId(plan));
  expect(planId({ ...plan, discardOld: true })).not.toBe(planId(plan));
});

test('a plan is kept where only its user can read it, and comes back whole', async () => {
  const { id } = await keepPlan(unit, plan, new Date(5000));

  expect(await loadPlan(unit, id)).toEqual({ id, madeAt: new Date(5000), plan });
  expect((await stat(join(unit.plans, `${id}.json`))).mode & 0o777).toBe(0o600);
  expect((await stat(unit.plans)).mode & 0o777).toBe(0o700);
});

test.each(['a123456789abcdef', 'main', '../owner', ''])(
  'the id "%s", which was not printed, is refused',
  async (id) => {
    await keepPlan(unit, plan, new Date(5000));

    await expect(loadPlan(unit, id)).rejects.toMatchObject({
      kind: 'refused',
      message: `there is no plan ${id} on this unit`,
    });
  },
);

test('a plan that somebody changed is not run', async () => {
  const { id } = await keepPlan(unit, plan, new Date(5000));
  const path = join(unit.plans, `${id}.json`);
  await writeFile(path, (await readFile(path, 'utf8')).replace('"discardOld": false', '"discardOld": true'));

  await expect(loadPlan(unit, id)).rejects.toMatchObject({ kind: 'damaged' });
});

test('the newest twenty stay', async () => {
  const ids: string[] = [];
  for (let number = 1; number <= 23; number += 1) {
    ids.push((await keepPlan(unit, { ...plan, timeline: number }, new Date(number * 1000))).id);
  }

  expect((await readdir(unit.plans)).sort()).toEqual(
    ids
      .slice(3)
      .map((id) => `${id}.json`)
      .sort(),
  );
});
