import { dump } from 'js-yaml';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../setup/wait.ts';
import { Simulator } from './simulator/simulator.ts';
import { makeSiteFace, type SiteFace } from './site-face.ts';
import { idle, toyFiles } from './toy-charm.ts';

let root = '';
let site: SiteFace;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lbs-'));
  site = makeSiteFace({ directory: join(root, 'm') });
});

afterEach(async () => {
  await site.close();
  await rm(root, { recursive: true, force: true });
});

const script = `#!/bin/sh
case $JUJU_DISPATCH_PATH in
hooks/start) hostname >/var/lib/toy; pwd >>/var/lib/toy ;;
hooks/job-ended) relation-set -r peers:0 woken="$(cat /var/lib/toy | tr '\\n' ' ')" ;;
actions/act) (sleep 300; :) >/dev/null 2>&1 & echo up >/run/up; exec sleep 301 ;;
esac
`;

test('a charm runs in its machine, is woken from there, and an action that is cancelled leaves its children', async () => {
  const charm = join(root, 'toy');
  await mkdir(charm);
  for (const [name, content] of Object.entries(toyFiles)) await writeFile(join(charm, `${name}.yaml`), dump(content));
  await writeFile(join(charm, 'dispatch'), script);
  await chmod(join(charm, 'dispatch'), 0o755);
  const sim = new Simulator();
  const model = sim.addModel('production');
  model.deployPrincipal('postgresql', { charm: idle('postgresql'), units: 2 });
  await model.deploySubordinate('toy', { charmDirectory: charm, processes: site.face });
  model.integrate('toy:postgresql', 'postgresql');
  await sim.settle();
  const machine = await site.siteOf(model.unit('toy/0').machine);
  const directory = '/var/lib/juju/agents/unit-toy-0/charm';
  const name = `production-${model.unit('toy/0').machine.id}`;

  expect(await machine.read('/var/lib/toy')).toBe(`${name}\n${directory}\n`);
  await machine.run(['juju-exec', '-u', 'toy/0', `JUJU_DISPATCH_PATH=hooks/job-ended ${directory}/dispatch`]);
  expect(model.bagOf('toy/0', 'peers')).toHaveProperty('woken', `${name} ${directory}`);

  const task = model.start('toy/0', 'act');
  await until('the action runs', async () => (await machine.execute(['test', '-e', '/run/up'])).exitCode === 0);
  model.cancel('toy/0', task);
  expect((await task.finished).status).toBe('aborted');
  expect(await machine.run(['ps', 'ax'])).toContain('sleep 300');

  const again = model.start('toy/0', 'act');
  await until('the action runs', async () => (await machine.run(['ps', 'ax'])).includes('sleep 301'));
  await machine.powerCut();
  expect((await again.finished).status).toBe('failed');
  await machine.boot();
  await model.run('toy/0', 'open');
  expect(model.statusOf('toy/0').agent).toBe('idle');
});
