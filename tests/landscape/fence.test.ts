import { execa } from 'execa';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lowerFence, raiseFence, readFence } from '../../src/landscape/fence.ts';
import { readServices } from '../../src/landscape/services.ts';
import { isRoot, makeLandscapeUnit, type LandscapeTestUnit } from '../setup/landscape-unit.ts';

let unit: LandscapeTestUnit;

beforeEach(async () => {
  unit = await makeLandscapeUnit({ profile: 'manual', whose: 'spare' });
});

afterEach(async () => {
  await unit.remove();
});

function place() {
  return { machine: unit.context.machine, folder: unit.context.unit.path };
}

async function raise() {
  const units = (await readServices()).map((service) => service.unit);
  return await raiseFence(place(), { planId: 'plan-1', since: new Date('2026-11-24T03:00:00Z'), units, running: [] });
}

/** Asks systemd itself about a unit whose files lie in the fenced machine. */
async function systemd(...args: string[]) {
  const env = { SYSTEMD_UNIT_PATH: `${join(unit.root, 'etc/systemd/system')}:` };
  return await execa('systemd-analyze', args, { env, reject: false, all: true });
}

describe.skipIf(!isRoot)('the fence', () => {
  test('is understood by systemd, which would not start a unit as long as it stands', async () => {
    await unit.write('/etc/systemd/system/landscape-api.service', '[Service]\nExecStart=/bin/true\n');
    expect((await raise()).units).toContain('landscape-api.service');
    const verified = await systemd('verify', join(unit.root, 'etc/systemd/system/landscape-api.service'));
    const fenced = await systemd('condition', '--unit=landscape-api.service');
    await lowerFence(place());
    const open = await systemd('condition', '--unit=landscape-api.service');

    expect(verified.all).not.toContain('50-landscape-backup-fence.conf');
    expect([fenced.exitCode, open.exitCode], fenced.all).toEqual([1, 0]);
    expect(fenced.all).toContain(`ConditionPathExists=!${unit.context.unit.path}/fenced failed`);
  });

  test('keeps others’ drop-ins, and leaves none of its own', async () => {
    await raise();
    await lowerFence(place());

    const dropIns = await readdir(join(unit.root, 'etc/systemd/system'), { recursive: true });
    expect(dropIns.sort()).toEqual([
      'landscape-api.service.d',
      'landscape-api.service.d/limits.conf',
      'landscape-appserver.service.d',
      'landscape-appserver.service.d/where.conf',
    ]);
    expect(await readFence(place())).toBeUndefined();
    await lowerFence(place());
  });

  test('remembers what it found when it is raised again', async () => {
    await raise();
    const again = await raiseFence(place(), {
      planId: 'plan-1',
      since: new Date('2026-11-25T03:00:00Z'),
      units: ['landscape-new.service'],
      running: ['landscape-new.service'],
    });

    expect(again).toMatchObject({ hadMaintenance: false, running: [], since: new Date('2026-11-24T03:00:00Z') });
    expect(again.units).toContain('landscape-api.service');
    expect(again.units).toContain('landscape-new.service');
  });
});
