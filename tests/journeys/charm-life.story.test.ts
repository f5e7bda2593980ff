import { execa } from 'execa';
import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packCharm } from '../../src/packaging/pack.ts';
import { unpackCharm } from '../juju/simulator/unpack-charm.ts';
import { until } from '../setup/wait.ts';
import type { SiteMachine } from '../site/machine.ts';
import { destination, makeCharmWorld, type CharmWorld } from './charm-world.ts';

let world: CharmWorld;
/** The charm as it comes out of its file. */
let fromFile = '';
/** The next version of it. */
let next = '';

beforeAll(async () => {
  world = await makeCharmWorld();
  const place = join(world.charmDirectory, '..');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const file = await packCharm(join(import.meta.dirname, '..', '..'), architecture, join(place, 'packed'));
  fromFile = join(place, 'unpacked');
  await mkdir(fromFile);
  await unpackCharm(file, fromFile);
  next = join(place, 'next');
  await execa('cp', ['-al', world.charmDirectory, next]);
  // A file of its own: the other is linked to what all tests run.
  const bundle = join(next, 'runtime', 'lib', 'landscape-backup.js');
  await execa('sh', ['-c', 'cp "$0" "$0.new" && mv "$0.new" "$0"', bundle]);
  await appendFile(bundle, '// the next version\n');
});

afterAll(async () => {
  await world.close();
});

/** PostgreSQL's configuration byte for byte, and the names of everything of ours. */
const configuration = async (machine: SiteMachine) =>
  await machine.run([
    'sh',
    '-c',
    'cd / && sha256sum $(find etc/postgresql var/lib/postgresql/15/main/*.conf -type f | sort)',
  ]);
const ours = async (machine: SiteMachine) =>
  await machine.run([
    'sh',
    '-c',
    "find /etc /opt /usr/local /var/lib -name '*landscape-backup*' -not -path '/var/lib/juju/*' 2>/dev/null | sort",
  ]);

test.each(['2.9.49', '4.0.0'])('on %s: from its file to nothing but the repository', async (version) => {
  const model = await world.addModel(`life-${version.replaceAll('.', '-')}`, { version, charmDirectory: fromFile });
  const { machine } = model.database;
  const found = await configuration(machine);
  await model.deploy({ destination, 'restart-postgresql': true });
  const { unit } = model;
  const init = version.startsWith('2.') ? `juju run-action ${unit} init --wait` : `juju run ${unit} init`;
  await model.until(unit, new RegExp(`Next: ${init} creates or joins it`));
  expect(await model.run(unit, 'init')).toContain('archiving is on');

  const running = model.act(unit, 'backup', { wait: 0 });
  expect(String((await running).results['result'])).toMatch(/backup goes on as job backup-/);
  await model.juju.refresh('landscape-backup', { charmDirectory: next, processes: world.face.face });
  await until('it is upgraded', async () => model.juju.hooksOf(unit).includes('upgrade-charm'), 60);
  await model.until(unit, /^active: 15\/main: can restore to/, 60);
  expect(await machine.read('/opt/landscape-backup/landscape-backup-0/runtime/lib/landscape-backup.js')).toMatch(
    /the next version\n$/,
  );
  expect(await machine.run(['landscape-backup', 'check'])).not.toMatch(/^(bad|fail)/m);

  model.juju.removeRelation('landscape-backup:postgresql', 'postgresql');
  await until('it is gone', async () => model.juju.unitsOf('landscape-backup').length === 0, 90);

  expect(await configuration(machine)).toBe(found);
  expect(await ours(machine)).toBe('');
  await machine.run(['systemctl', 'restart', 'postgresql@15-main']);
  expect(await model.database.sql('show archive_mode')).toBe('off');
  expect((await machine.run(['ls', destination])).split('\n')).toContain('repository.json');
});
