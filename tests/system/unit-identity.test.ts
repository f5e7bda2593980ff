import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readIdentity } from '../../src/system/identity.ts';
import { readUnitIdentity, unitSlug, writeUnitIdentity, type UnitIdentity } from '../../src/system/unit-identity.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'lb-home-'));
});
afterEach(async () => {
  await rm(home, { recursive: true });
});

const identity: UnitIdentity = {
  format: 1,
  model: { uuid: '8cb6cd5d-73bb-4a2e-8a1e-6bd4b2cf1d0a', name: 'production' },
  application: 'landscape-backup',
  unit: 'landscape-backup/1',
  principal: 'postgresql/0',
  roles: ['postgresql'],
  charmDirectory: '/var/lib/juju/agents/unit-landscape-backup-1/charm',
  jujuVersion: '3.6.27',
};

test('the repository knows a unit by the names that Juju gives it, whichever cluster it keeps', async () => {
  await writeUnitIdentity(home, identity);

  expect(await readUnitIdentity(home)).toEqual(identity);
  expect(await readIdentity(home, '14-main')).toEqual({
    model: identity.model.uuid,
    modelName: identity.model.name,
    application: 'landscape-backup',
    unit: 'landscape-backup/1',
  });
  expect(unitSlug(identity.unit)).toBe('landscape-backup-1');
});

test('the owner of a cluster can read who its unit is', async () => {
  await writeUnitIdentity(home, identity);
  expect((await stat(join(home, 'unit.json'))).mode & 0o777).toBe(0o644);
});

test('without Juju a machine is its own model and each cluster a unit', async () => {
  expect(await readIdentity(home, '15-main')).toMatchObject({
    model: expect.stringMatching(/^[0-9a-f]{32}$/),
    unit: '15-main',
  });
});

test('an identity that is damaged is never taken for none', async () => {
  await writeFile(join(home, 'unit.json'), '{"format": 1, "unit": "../..');
  await expect(readIdentity(home, '15-main')).rejects.toMatchObject({ kind: 'damaged' });
});

test('a name that is no unit is refused: paths are made of it', async () => {
  await writeUnitIdentity(home, identity);
  await writeFile(join(home, 'unit.json'), JSON.stringify({ ...identity, unit: '../0' }));
  await expect(readUnitIdentity(home)).rejects.toMatchObject({ kind: 'damaged' });
});
