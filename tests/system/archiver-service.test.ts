import { chown, mkdir, readFile, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { installArchiver, removeArchiver } from '../../src/system/archiver-service.ts';
import { installUnit, removeUnit } from '../../src/system/installation.ts';
import { placesOf, type UnitPlaces } from '../../src/system/machine-paths.ts';
import { installedMachine, type InstalledMachine } from './installed-machine.ts';

const unit = 'landscape-backup/0';
const service = 'landscape-backup-landscape-backup-0-archiver.service';
let machine: InstalledMachine;
let places: UnitPlaces;
beforeEach(async () => {
  machine = await installedMachine();
  places = placesOf(machine.paths, unit);
  await release();
});
afterEach(async () => {
  await machine.destroy();
});

async function release(version?: string): Promise<void> {
  if (version !== undefined) await machine.release(version);
  await installUnit(machine.paths, { unit, charmDirectory: machine.charm, due: [] });
  await machine.told();
}

async function install(ownerUid = 0): Promise<void> {
  const cluster = { label: '15/main', folder: join(places.home, '15-main') };
  await mkdir(cluster.folder, { recursive: true });
  await chown(cluster.folder, ownerUid, 0);
  await installArchiver(machine.paths, places, { templates: join(machine.charm, 'systemd'), cluster });
}

const file = async () => await readFile(join(machine.paths.systemdUnits, service), 'utf8');
const restarted = ['daemon-reload', `enable ${service}`, `--no-block restart ${service}`];

test('the archiver of a cluster is a service of its owner, begun at once and at every boot', async () => {
  await install();

  expect(await machine.told()).toEqual(restarted);
  const text = await file();
  expect(text).toContain('User=root\nGroup=root\n');
  expect(text).toContain(`ExecStart=${await realpath(places.runtime)}/bin/archiver ${places.home}/15-main\n`);
  expect(text).not.toMatch(/@[A-Z]+@/);
});

test('one that runs as it should is left alone', async () => {
  await install();
  await machine.told();

  await install();

  expect(await machine.told()).toEqual([]);
});

test('after an upgrade, and for another owner, it is started again', async () => {
  await install();
  await release('2');

  await install();
  expect(await machine.told()).toEqual(restarted);
  expect(await file()).toContain(`ExecStart=${await realpath(places.runtime)}/bin/archiver `);

  await install(1);
  expect(await machine.told()).toEqual(restarted);
});

test('what was interrupted before systemd had started the new one is done at the next call', async () => {
  await machine.systemctl('case "$*" in *restart*) exit 1 ;; esac');
  await expect(install()).rejects.toThrow(/systemctl/);
  await machine.systemctl('exit 0');
  await machine.told();

  await install();

  expect(await machine.told()).toEqual(restarted);
});

test('it goes with its unit, in whatever state it is', async () => {
  await install();
  await machine.told();

  await removeArchiver(machine.paths, places);
  expect(await machine.told()).toEqual([`disable --now ${service}`, 'daemon-reload']);
  await removeArchiver(machine.paths, places);
  expect(await machine.told()).toEqual([]);

  await install();
  expect(await removeUnit(machine.paths, unit)).toEqual({ stays: [], problems: [] });
  expect(await machine.files()).toEqual([]);
});

test('where systemd does not run the machine there is none, and nothing fails', async () => {
  const bare = { ...machine.paths, systemdRuns: join(machine.root, 'no-systemd') };
  const cluster = { label: '15/main', folder: join(places.home, '15-main') };
  await installArchiver(bare, places, { templates: join(machine.charm, 'systemd'), cluster });
  await rm(join(machine.paths.systemdUnits, service), { force: true });
  expect(await machine.told()).toEqual([]);
});
