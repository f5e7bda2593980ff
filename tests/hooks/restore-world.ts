import { isPending, type Job } from '../../src/core/job.ts';
import { dispatch } from '../../src/main/shared/dispatch.ts';
import type { JujuEnvironment } from '../../src/juju/environment.ts';
import type { HookTools, RelationData } from '../../src/juju/hook-tools.ts';
import type { Model } from '../juju/simulator/model.ts';
import type { Random } from '../juju/simulator/random.ts';
import { Refused } from '../juju/simulator/refused.ts';
import { Simulator } from '../juju/simulator/simulator.ts';
import { charmFiles, prepare } from './charm-world.ts';
import { DoubleMachine } from './double-machine.ts';
import { Broken, Truth } from './restore-truth.ts';

export const app = 'landscape-backup';

/** What goes wrong while a story runs wild; everything off makes a calm day. */
interface Weather {
  crash: number;
  stale: number;
}

/** One PostgreSQL unit and some Landscape units, on which one restore after another is told. */
export class RestoreWorld {
  readonly sim: Simulator;
  readonly model: Model;
  readonly truth: Truth;
  readonly machines = new Map<string, DoubleMachine>();
  readonly weather: Weather = { crash: 0, stale: 0 };
  /** What broke in a hook, where nothing may be thrown. */
  broken: Error | undefined;
  readonly #seen = new Map<string, RelationData>();

  private constructor(seed: number, version: string) {
    this.sim = new Simulator({
      seed,
      version,
      crash: (unit, _operation, random) => {
        if (this.weather.crash === 0 || unit.principal === undefined || !random.chance(this.weather.crash)) return;
        return random.pick(['before-commit', 'after-commit', 3, 6, 9, 12] as const);
      },
    });
    this.model = this.sim.addModel('spare');
    this.truth = new Truth((unit) => this.model.state.units.get(unit)?.life !== 'alive');
  }

  get random(): Random {
    return this.sim.random;
  }

  static async make(seed: number, landscape: number, version = '3.6.27'): Promise<RestoreWorld> {
    const world = new RestoreWorld(seed, version);
    const { model } = world;
    model.deployPrincipal('postgresql', { charm: { name: 'postgresql' }, units: 1 });
    model.deployPrincipal('landscape-server', { charm: { name: 'landscape-server' }, units: landscape });
    const handler = async (environment: JujuEnvironment, tools: HookTools) => await world.#handle(environment, tools);
    await model.deploySubordinate(app, { files: charmFiles, handler });
    model.config(app, { destination: '/srv/backup', 'backup-schedule': '' });
    model.integrate(`${app}:postgresql`, 'postgresql');
    model.integrate(`${app}:landscape`, 'landscape-server');
    await world.sim.settle();
    return world;
  }

  async #handle(environment: JujuEnvironment, tools: HookTools): Promise<number> {
    const { unit, principal = '' } = environment;
    let machine = this.machines.get(unit);
    if (machine === undefined) {
      machine = new DoubleMachine(unit, this.truth.verbs, {
        // What breaks is not thrown into the charm, which would make a failure of it.
        started: (...what) => {
          this.guard(() => {
            this.truth.started(...what);
          });
        },
        ended: (...what) => {
          this.truth.ended(...what);
        },
      });
      this.machines.set(unit, machine);
      prepare(machine, principal);
      machine.passTime = (job) => {
        if (job.id.startsWith('restore-') && isStage(job)) return;
        this.guard(() => machine?.finish(job.id));
      };
    }
    if (environment.event.kind === 'action' && environment.event.name === 'abandon-restore') this.#noteUnmet(unit);
    try {
      await dispatch(environment, this.#stale(unit, tools), machine.toUnitMachine());
      return 0;
    } catch (error) {
      // An agent that was killed looks like this too; the simulator tells them apart.
      if (!(error instanceof Error) || error.constructor.name !== 'Interrupted')
        this.broken ??= error instanceof Broken ? error : new Error(`a hook failed on ${unit}`, { cause: error });
      throw error;
    }
  }

  #noteUnmet(unit: string): void {
    const met = [...this.model.unit(unit).views.values()].flatMap(({ members }) => [...members.keys()]);
    const names = new Set([unit, ...met.map(({ name }) => name)]);
    for (const { planner, participants, unmet } of this.truth.plans.values())
      for (const other of [planner, ...participants]) if (!names.has(other)) unmet.add(other);
  }

  /** What others say may be old, and never gets older. */
  #stale(unit: string, tools: HookTools): HookTools {
    return {
      ...tools,
      relationGet: async (id, bag, member) => {
        const fresh = await tools.relationGet(id, bag, member);
        if (member === unit || (bag === 'app' && (await tools.isLeader()))) return fresh;
        const key = `${unit} ${bag} ${member}`;
        const seen = this.#seen.get(key);
        if (seen !== undefined && this.random.chance(this.weather.stale)) return seen;
        this.#seen.set(key, fresh);
        return fresh;
      },
    };
  }

  /** Does something whose promises may break, and keeps what broke. */
  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.broken ??= error instanceof Error ? error : new Error(String(error));
    }
  }

  /** Whether a unit of ours is there, its machine with it. */
  isThere(unit: string): boolean {
    return this.model.state.units.has(unit);
  }

  /** The jobs that run on machines that are there. */
  pending(): readonly { readonly machine: DoubleMachine; readonly job: Job }[] {
    return [...this.machines.values()].flatMap((machine) =>
      this.isThere(machine.unit) ? machine.jobs.filter(isPending).map((job) => ({ machine, job })) : [],
    );
  }

  /** Our units beside a principal of a name, those that live. */
  ours(principal: string): readonly string[] {
    return this.model.unitsOf(app).filter((name) => {
      const unit = this.model.unit(name);
      return unit.life === 'alive' && unit.principal?.application.name === principal;
    });
  }

  /** A machine that goes takes what runs on it along. */
  bury(): void {
    for (const [unit, machine] of this.machines) {
      if (this.isThere(unit)) continue;
      for (const job of machine.jobs.filter(isPending)) this.guard(() => machine.lose(job.id));
      this.machines.delete(unit);
    }
  }

  /** Asks a unit for an action that runs when its turn comes; a unit that is gone can't be asked. */
  ask(unit: string, action: string, parameters: Readonly<Record<string, string>>): boolean {
    try {
      this.model.ask(unit, action, parameters);
      return true;
    } catch (error) {
      if (error instanceof Refused) return false;
      throw error;
    }
  }

  /** Everything that runs ends well until nothing is left to do; jobs wake their charms, or update-status finds all. */
  async calm(): Promise<void> {
    Object.assign(this.weather, { crash: 0, stale: 0 });
    const isWoken = this.random.chance(0.8);
    for (let turn = 0; turn < 40; turn += 1) {
      // What a job said that ended before is found by update-status only.
      if (turn === 0 || !isWoken) for (const unit of this.model.unitsOf(app)) this.model.updateStatus(unit);
      await this.sim.settle();
      this.bury();
      const running = this.pending();
      if (running.length === 0 && turn > 0) return;
      for (const { machine, job } of running) {
        this.guard(() => {
          machine.finish(job.id);
        });
        if (isWoken) this.model.wake(machine.unit, 'job-ended');
      }
    }
    this.broken ??= new Broken('jobs without end');
  }

  /** What the operator sees. */
  statuses(): readonly { readonly unit: string; readonly status: string; readonly message: string }[] {
    return this.model.unitsOf(app).map((unit) => ({ unit, ...this.model.statusOf(unit) }));
  }
}

function isStage({ id }: Job): boolean {
  return /^(restore|abandon)-\d+-/.test(id);
}
