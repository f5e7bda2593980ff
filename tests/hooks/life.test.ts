import { describe, expect, test } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { charmWorld, charmFiles, repository, type CharmWorld } from './charm-world.ts';
import type { DoubleMachine } from './double-machine.ts';

const app = 'landscape-backup';
const versions = ['2.9.49', '3.6.27', '4.0.15'] as const;

/** Runs `init` where the database is, as the status asks for. */
async function initialised(world: CharmWorld, principal = 'postgresql/0'): Promise<CharmWorld> {
  const done = await world.model.run(world.beside(principal), 'init', { wait: 0 });
  expect(done.status).toBe('completed');
  await world.settle();
  return world;
}

/** Every unit of ours knows the repository, has its roles' timers, and fails in nothing. */
function expectWell(world: CharmWorld): void {
  for (const unit of world.model.unitsOf(app)) {
    const { status, message } = world.model.statusOf(unit);
    expect(`${unit} ${status}: ${message}`).toContain('active');
    const machine = world.machineOf(unit);
    expect(machine.settings).toContain(repository.id);
    expect(machine.identity?.roles).toEqual(rolesBeside(machine.identity?.principal ?? ''));
    expect(machine.archiver).toBe(machine.identity?.roles.includes('postgresql') === true ? '15/main' : undefined);
  }
  expectNoFailures(world);
}

function rolesBeside(principal: string): readonly string[] {
  if (principal.startsWith('ubuntu/')) return ['postgresql', 'landscape'];
  return principal.startsWith('postgresql/') ? ['postgresql'] : ['landscape'];
}

function expectNoFailures({ model }: CharmWorld): void {
  for (const { name, history } of model.state.units.values())
    expect(history.filter(({ end }) => end === 'failed').map((line) => `${name} ${line.name}`)).toEqual([]);
}

/** PostgreSQL calls nothing of ours, nothing of ours runs, and nothing is left on the machine. */
function expectGone(machine: DoubleMachine): void {
  const { unit, archives, archiver, uninstalled, installed, settings, pending } = machine;
  expect({ unit, archives, archiver, uninstalled, installed, settings, pending }).toEqual({
    unit,
    archives: false,
    archiver: undefined,
    uninstalled: true,
    installed: undefined,
    settings: undefined,
    pending: [],
  });
}

describe.each(versions)('on Juju %s', (version) => {
  describe('every order of integration ends with every unit kept', () => {
    const both = ['postgresql', 'landscape'] as const;
    const orders = [
      [
        'PostgreSQL first',
        [
          ['postgresql', 'postgresql'],
          ['landscape', 'landscape-server'],
        ],
      ],
      [
        'Landscape first',
        [
          ['landscape', 'landscape-server'],
          ['postgresql', 'postgresql'],
        ],
      ],
    ] as const;

    test.each(orders)('%s', async (_name, [first, second]) => {
      for (let seed = 1; seed <= 8; seed += 1) {
        const world = await charmWorld({ version, seed, landscape: 2, integrate: [first] });
        world.model.integrate(`${app}:${second[0]}`, second[1]);
        // Not settled in between: init may come before the second relation was heard of.
        for (let steps = seed; steps > 0; steps -= 1) await world.sim.step();
        await world.settle();
        await initialised(world);
        expectWell(world);
      }
    });

    test.each([both, both.toReversed()])('both on one principal: %s, then %s', async (...order) => {
      const integrate = order.map((endpoint) => [endpoint, 'ubuntu'] as const);
      const world = await initialised(await charmWorld({ version, ubuntu: 1, integrate }), 'ubuntu/0');
      expectWell(world);
      expect(world.machineOf(world.beside('ubuntu/0')).archives).toBe(true);
    });

    test('two of our units on one machine have homes of their own', async () => {
      const world = await charmWorld({ version, landscape: 0 });
      world.model.deployPrincipal('landscape-server', { charm: { name: 'landscape-server' }, to: '0' });
      world.model.integrate(`${app}:landscape`, 'landscape-server');
      await world.settle();
      await initialised(world);
      expectWell(world);
      const [pg, ls] = [world.beside('postgresql/0'), world.beside('landscape-server/0')];
      world.model.removeRelation(`${app}:landscape`, 'landscape-server');
      await world.settle();
      expectGone(world.machineOf(ls));
      expect(world.machineOf(pg)).toMatchObject({ archives: true, uninstalled: false });
    });
  });

  test('options, leaders, units that come and go: 60 random lives end with nothing of ours left anywhere', async () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      const world = await charmWorld({
        version,
        seed,
        crash: (unit, _operation, random) =>
          unit.principal !== undefined && random.chance(0.03)
            ? random.pick([2, 5, 9, 'before-commit', 'after-commit'] as const)
            : undefined,
      });
      world.model.ask(world.beside('postgresql/0'), 'init', { wait: 0 });
      for (let turn = 0; turn < 25; turn += 1) await live(world);
      world.model.removeApplication(app);
      await world.settle();
      expect(world.model.has(app), `seed ${seed}`).toBe(false);
      for (const machine of world.machines.values()) expectGone(machine);
      expectNoFailures(world);
    }
  });

  test('an upgrade brings the new programs, and leaves a job alone that runs', async () => {
    const world = await initialised(await charmWorld({ version }));
    const pg = world.beside('postgresql/0');
    const machine = world.machineOf(pg);
    await machine.toUnitMachine().jobs.start(['backup']);
    machine.version.charm = 1;
    await world.model.refresh(app, { files: charmFiles, handler: world.handler });
    await world.sim.settle();
    expect(machine.version.installed).toBe(1);
    expect(machine.pending.map(({ verb }) => verb)).toEqual(['backup']);
    expect(world.model.statusOf(pg).message).toContain('backup');
    await world.settle();
    expectWell(world);
  });

  test('a unit whose hooks ended before our program did anything installs itself with the next that starts', async () => {
    let gaveUp = 0;
    let isBroken = true;
    const world = await charmWorld({
      version,
      giveUp: (unit) => {
        if (!isBroken || unit !== `${app}/0`) return false;
        gaveUp += 1;
        return true;
      },
    });
    const machine = world.machineOf(`${app}/0`);
    expect(gaveUp).toBeGreaterThan(3);
    expect(machine.installed).toBeUndefined();
    isBroken = false;
    world.model.updateStatus(`${app}/0`);
    await world.settle();
    expect(machine.installed).toBeDefined();
    await initialised(world);
    expectWell(world);
  });

  test('an upgrade whose hook ended before our program did anything is made up for by the next that starts', async () => {
    let isBroken = false;
    const world = await initialised(await charmWorld({ version, giveUp: () => isBroken }));
    const machine = world.machineOf(world.beside('postgresql/0'));
    isBroken = true;
    machine.version.charm = 1;
    await world.model.refresh(app, { files: charmFiles, handler: world.handler });
    await world.settle();
    expect(machine.version.installed).toBe(0);
    isBroken = false;
    world.model.updateStatus();
    await world.settle();
    expect(machine.version.installed).toBe(1);
  });

  describe('whatever is in the way, whoever leaves leaves nothing, and holds up nobody', () => {
    const ways: readonly (readonly [string, (world: CharmWorld) => void])[] = [
      [
        'the relation with PostgreSQL goes',
        ({ model }) => {
          model.removeRelation(`${app}:postgresql`, 'postgresql');
        },
      ],
      [
        'our application goes',
        ({ model }) => {
          model.removeApplication(app);
        },
      ],
      [
        'the unit of PostgreSQL goes',
        ({ model }) => {
          model.removeUnit('postgresql/0');
        },
      ],
      [
        'the application PostgreSQL goes',
        ({ model }) => {
          model.removeApplication('postgresql');
        },
      ],
    ];
    const faults: readonly (readonly [string, (machine: DoubleMachine) => void])[] = [
      ['nothing is in the way', () => undefined],
      ['jobs run', (machine) => void machine.toUnitMachine().jobs.start(['configure'])],
      [
        'the disk is full',
        (machine) => {
          machine.faults.install = new Failure('machine', 'no room');
        },
      ],
      [
        'nothing can be asked',
        (machine) => {
          machine.trouble = { message: 'no answer in 60 s', hint: null };
        },
      ],
      [
        'jobs can not be stopped',
        (machine) => {
          void machine.toUnitMachine().jobs.start(['configure']);
          machine.faults.stop = new Failure('machine', 'systemctl does not answer');
        },
      ],
    ];
    test.each(ways.flatMap(([way, go]) => faults.map(([fault, arrange]) => ({ way, fault, go, arrange }))))(
      '$way, $fault',
      async ({ go, arrange }) => {
        for (let seed = 1; seed <= 3; seed += 1) {
          const world = await initialised(await charmWorld({ version, seed }));
          const pg = world.beside('postgresql/0');
          const machine = world.machineOf(pg);
          expect(machine.archives).toBe(true);
          arrange(machine);
          go(world);
          await world.sim.settle();
          expect(world.model.state.units.has(pg)).toBe(false);
          await world.settle();
          // Who can't stop a job can't keep it from doing its work.
          if (machine.faults.stop !== undefined) machine.archives = false;
          expectGone(machine);
          expectNoFailures(world);
          expect(machine.left).toBeGreaterThan(0);
        }
      },
    );

    test('what can not be put back is told, and its unit goes all the same', async () => {
      const world = await initialised(await charmWorld({ version }));
      const pg = world.beside('postgresql/0');
      const machine = world.machineOf(pg);
      const logs = world.model.logOf(pg);
      machine.faults.leave = 'PostgreSQL does not answer: archive_command is still ours';
      world.model.removeApplication(app);
      await world.settle();
      expect(world.model.has(app)).toBe(false);
      expect(machine.uninstalled).toBe(true);
      expect(logs.map(({ text }) => text)).toContain(machine.faults.leave);
    });

    test('the unit of both leaves PostgreSQL when that relation goes, and stays for Landscape', async () => {
      const integrate = [
        ['postgresql', 'ubuntu'],
        ['landscape', 'ubuntu'],
      ] as const;
      const world = await initialised(await charmWorld({ version, ubuntu: 1, integrate }), 'ubuntu/0');
      const unit = world.beside('ubuntu/0');
      world.model.removeRelation(`${app}:postgresql`, 'ubuntu');
      await world.settle();
      expect(world.machineOf(unit)).toMatchObject({ archives: false, uninstalled: false });
      expect(world.machineOf(unit).identity?.roles).toEqual(['landscape']);
      expectNoFailures(world);
    });
  });
});

/** One thing that happens to a model in its life. */
async function live(world: CharmWorld): Promise<void> {
  const { model, sim } = world;
  const { random } = sim;
  const ours = model.unitsOf(app).filter((unit) => model.unit(unit).life === 'alive' && model.unit(unit).installed);
  switch (random.below(8)) {
    case 0:
      model.config(app, { 'retention-count': random.below(4), 'archive-timeout': random.pick([-1, 60, 300]) });
      break;
    case 1:
      if (ours.length > 0) model.moveLeadership(app, random.pick(ours));
      break;
    case 2:
      if (model.unitsOf('landscape-server').length < 3) model.addUnit('landscape-server');
      break;
    case 3: {
      const units = model.unitsOf('landscape-server');
      if (units.length > 0) model.removeUnit(random.pick(units));
      break;
    }
    case 4:
      if (ours.length > 0) model.killAgent(random.pick(ours));
      break;
    case 5:
      model.updateStatus();
      break;
    case 6: {
      const running = [...world.machines.values()].flatMap((machine) =>
        machine.pending.map((job) => ({ machine, job })),
      );
      if (running.length > 0) {
        const { machine, job } = random.pick(running);
        machine.finish(job.id);
      }
      break;
    }
    default:
  }
  for (let steps = random.below(10); steps > 0; steps -= 1) await sim.step();
}
