import { load } from 'js-yaml';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { factsWithout } from '../../src/core/cluster-facts.ts';
import { Failure } from '../../src/core/failure.ts';
import type { RestorePlan } from '../../src/core/restore-plan.ts';
import { restorePlanSchema } from '../../src/core/restore-plan.ts';
import { planUnits } from '../../src/core/unit-plan.ts';
import { dispatch } from '../../src/main/shared/dispatch.ts';
import { parseLsn } from '../../src/core/lsn.ts';
import type { CharmFiles } from '../juju/simulator/charm.ts';
import type { Handler } from '../juju/simulator/in-process.ts';
import type { Model } from '../juju/simulator/model.ts';
import { Simulator, type SimulatorOptions } from '../juju/simulator/simulator.ts';
import { DoubleMachine, type Verb } from './double-machine.ts';

const root = join(import.meta.dirname, '..', '..');
const yaml = (name: string) => load(readFileSync(join(root, name), 'utf8'));

/** The charm's own YAML files. */
export const charmFiles = {
  metadata: yaml('metadata.yaml'),
  config: yaml('config.yaml'),
  actions: yaml('actions.yaml'),
} as CharmFiles;

export const repository = { id: 'a'.repeat(32), url: 'file:///srv/backup' };
const planId = 'abcdef0123456789';

/** The charm in a model of its own: one PostgreSQL unit and some Landscape units, each machine a double. */
export interface CharmWorld {
  readonly sim: Simulator;
  readonly model: Model;
  readonly handler: Handler;
  /** The doubles of our units, made when a unit is first heard of. */
  readonly machines: ReadonlyMap<string, DoubleMachine>;
  /** The unit of ours beside a principal's unit. */
  beside(principal: string): string;
  machineOf(unit: string): DoubleMachine;
  /** Ends all jobs that run, and wakes their charms, until nothing runs; then lets Juju settle. */
  settle(): Promise<void>;
}

/** Deploys, integrates and settles; `verbs` are what the jobs do on every machine. */
export async function charmWorld(
  options: SimulatorOptions & {
    readonly landscape?: number;
    readonly postgresql?: number;
    /** Machines with both, installed by hand. */
    readonly ubuntu?: number;
    readonly config?: Readonly<Record<string, string | number | boolean>>;
    readonly verbs?: Readonly<Record<string, Verb>>;
    readonly prepare?: (machine: DoubleMachine, principal: string) => void;
    /** Our endpoints in the order of their integration, with the principal's application; the usual ones unless given. */
    readonly integrate?: readonly (readonly [endpoint: string, principal: string])[];
    /** Which runs of the charm end before its program does anything, as `dispatch` has it where Node can't start. */
    readonly giveUp?: (unit: string, hook: string) => boolean;
  } = {},
): Promise<CharmWorld> {
  const sim = new Simulator(options);
  const model = sim.addModel('spare');
  const machines = new Map<string, DoubleMachine>();
  const principals = new Map<string, string>();
  model.deployPrincipal('postgresql', { charm: { name: 'postgresql' }, units: options.postgresql ?? 1 });
  if ((options.landscape ?? 1) > 0)
    model.deployPrincipal('landscape-server', { charm: { name: 'landscape-server' }, units: options.landscape ?? 1 });
  const handler: Handler = async (environment, tools) => {
    const { unit, principal = '' } = environment;
    principals.set(principal, unit);
    let machine = machines.get(unit);
    if (machine === undefined) {
      machine = new DoubleMachine(unit, { ...usualVerbs, ...options.verbs });
      machines.set(unit, machine);
      prepare(machine, principal);
      options.prepare?.(machine, principal);
    }
    if (options.giveUp?.(unit, environment.event.name) === true) return 0;
    await dispatch(environment, tools, machine.toUnitMachine());
    return 0;
  };
  await model.deploySubordinate('landscape-backup', { files: charmFiles, handler });
  model.config('landscape-backup', { destination: '/srv/backup', ...options.config });
  model.deployPrincipal('ubuntu', { charm: { name: 'ubuntu' }, units: options.ubuntu ?? 0 });
  const usual: readonly (readonly [string, string])[] = [
    ['postgresql', 'postgresql'],
    ...((options.landscape ?? 1) > 0 ? [['landscape', 'landscape-server'] as const] : []),
  ];
  for (const [endpoint, principal] of options.integrate ?? usual)
    model.integrate(`landscape-backup:${endpoint}`, principal);
  const world: CharmWorld = {
    sim,
    handler,
    model,
    machines,
    beside: (principal) => principals.get(principal) ?? `nobody beside ${principal}`,
    machineOf: (unit) => {
      const machine = machines.get(unit);
      if (machine === undefined) throw new Error(`${unit} has no machine yet`);
      return machine;
    },
    settle: async () => {
      await sim.settle();
      for (let turn = 0; turn < 200; turn += 1) {
        const running = [...machines.values()].flatMap((machine) =>
          machine.faults.hangs === true ? [] : machine.pending.map((job) => ({ machine, job })),
        );
        if (running.length === 0) return;
        for (const { machine, job } of running) {
          machine.finish(job.id);
          if (model.state.units.has(machine.unit)) model.wake(machine.unit, 'job-ended');
        }
        await sim.settle();
      }
      throw new Error('jobs without end');
    },
  };
  await world.settle();
  return world;
}

/** What lies beside a principal's unit. */
export function prepare(machine: DoubleMachine, principal: string): void {
  if (principal.startsWith('postgresql/') || principal.startsWith('ubuntu/')) {
    const cluster = { label: '15/main', major: '15', running: true, inRecovery: false, systemIdentifier: '7' };
    machine.cluster = factsWithout('debian', cluster, null);
  }
  if (principal.startsWith('landscape-server/') || principal.startsWith('ubuntu/')) {
    machine.landscape = {
      published: {
        profile: 'charmed',
        version: '24.04.9',
        endpoints: { database: '10.0.0.9:5432' },
        endpointsDigest: 'd1',
        running: false,
        fenced: false,
      },
      files: { fenced: false, keptAt: null, count: 0, missing: [], failure: null, second: [] },
    };
  }
}

const done = (text: string, json: unknown = {}) => ({ text, json });

/** What verbs do to a double's facts, as the real ones do to a machine's. */
const usualVerbs: Readonly<Record<string, Verb>> = {
  init: (_argv, machine) => {
    machine.archives = true;
    const owner = { ownerId: `owner-of-${machine.unit}`, systemIdentifier: '7', incarnation: 1 };
    machine.cluster = {
      ...machine.cluster,
      pin: repository,
      owner: machine.cluster.owner ?? owner,
      standing: { is: 'owner', incarnation: 1 },
      health: { level: 'ok', text: '15/main: can restore', next: null, details: [] },
    };
    return done('created the repository');
  },
  configure: (_argv, machine) => {
    machine.archives = true;
    return done('configured');
  },
  'adopt-owner': (argv, machine) => {
    const value = (name: string) => argv.find((each) => each.startsWith(`--${name}=`))?.split('=')[1] ?? '';
    machine.cluster = {
      ...machine.cluster,
      owner: {
        ownerId: value('owner-id'),
        systemIdentifier: value('system-identifier'),
        incarnation: Number(value('incarnation')),
      },
    };
    return done('adopted');
  },
  restore: (argv, machine) => {
    if (argv.some((each) => each.startsWith('--confirm'))) {
      if (argv.includes('--check')) return done('stands', { plan: planJson(machine) });
      machine.cluster = { ...machine.cluster, standing: { is: 'copy', of: 'prod/0', isKept: false } };
      return done('restored');
    }
    return done(`Plan ${planId}`, { plan: planJson(machine) });
  },
  quiesce: (_argv, machine) => fence(machine, true),
  resume: (_argv, machine) => fence(machine, false),
  'abandon-files': (_argv, machine) => fence(machine, false),
};

function fence(machine: DoubleMachine, fenced: boolean) {
  const { landscape } = machine;
  if (landscape === undefined || landscape.published === null)
    throw new Failure('refused', 'there is no Landscape here');
  machine.landscape = { ...landscape, published: { ...landscape.published, fenced } };
  return done(fenced ? 'fenced' : 'resumed');
}

export const restoreId = planId;

/** What a plan of this machine says, as the verb prints it. */
export function planJson(machine: DoubleMachine, id = planId): unknown {
  return { id, ...restorePlanSchema.encode(planOf(machine)) };
}

function planOf(machine: DoubleMachine): RestorePlan {
  const { site } = machine;
  const units =
    site === undefined
      ? []
      : planUnits({
          site,
          model: 'm',
          sets: [],
          production: { model: 'p' },
          notAfter: undefined,
          filesFrom: {},
          now: machine.now,
          principalAction: (principal, action) => `${principal} ${action}`,
        }).units;
  const plan: RestorePlan = {
    format: 1,
    repositoryId: repository.id,
    url: repository.url,
    cluster: '15/main',
    inPlace: false,
    systemIdentifier: '6',
    incarnation: 1,
    backup: { id: '20261124T000000Z-3f9a1c', incarnation: 1 },
    major: '15',
    segmentSize: 16 * 1024 * 1024,
    target: { to: 'end' },
    timeline: 1,
    stop: { at: 'end' },
    switchLsn: null,
    after: parseLsn('0/5000148'),
    restoredTo: null,
    directories: { data: '/d', wal: null, tablespaces: [] },
    discardOld: false,
    service: {
      repositoryId: repository.id,
      url: repository.url,
      systemIdentifier: '6',
      segmentSize: 16 * 1024 * 1024,
      segments: [],
      histories: [],
    },
    settings: { raised: {}, carried: {} },
    credentials: 'spare',
    claims: null,
    units: [...units],
    notes: [],
  };
  return plan;
}
