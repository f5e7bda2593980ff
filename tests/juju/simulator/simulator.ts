import { canLock, runOperation } from './agent.ts';
import type { Chance, CrashPoint } from './in-process.ts';
import { Model } from './model.ts';
import { makeRandom, type Random } from './random.ts';
import { Refused } from './refused.ts';
import { nextOperation, type ScopeEvents } from './resolver.ts';
import type { HookOperation, Operation, Task, UnitState } from './state.ts';
import { behaviourOf } from './versions.ts';

/** How the world is made. */
export interface SimulatorOptions {
  /** Decides the order of everything; printed in every failure of a story. */
  readonly seed?: number;
  /** Juju's version, 3.6.27 unless given; `addModel` may say another. */
  readonly version?: string;
  /** Where runs of an in-process charm are cut off. */
  readonly crash?: (unit: UnitState, operation: HookOperation | Task, random: Random) => CrashPoint;
  /** How many units run at the same time, their calls of tools mixed; 1 unless given. Only of use in-process. */
  readonly concurrency?: number;
}

/** How long `settle` goes on. */
export interface SettleOptions {
  /** How often a hook that fails is tried, three times unless given. */
  readonly tries?: number;
  /** What is taken for an endless loop. */
  readonly operations?: number;
  /** Whether to wait for actions and commands that run and hold something up; true unless given. */
  readonly wait?: boolean;
}

/**
 * Juju, as far as charms can tell: models with machines, applications and units, and agents that run their hooks.
 *
 * Nothing happens by itself: `settle` and `step` let agents work. Only actions and commands that are asked for while nobody
 * settles start as soon as they can.
 */
export class Simulator {
  readonly random: Random;
  /** May be changed between steps. */
  readonly chance: Chance;
  readonly #options: SimulatorOptions;
  readonly #models = new Map<string, Model>();
  readonly #running = new Map<UnitState, Promise<void>>();

  constructor(options: SimulatorOptions = {}) {
    this.#options = options;
    this.random = makeRandom(options.seed ?? 1);
    const { crash } = options;
    this.chance = {
      random: this.random,
      crash: crash === undefined ? () => undefined : (unit, operation) => crash(unit, operation, this.random),
      mixed: (options.concurrency ?? 1) > 1,
    };
  }

  get seed(): number {
    return this.random.seed;
  }

  addModel(name: string, options: { version?: string; proxies?: Readonly<Record<string, string>> } = {}): Model {
    if (this.#models.has(name)) throw new Refused(`model "${name}" already exists`);
    const behaviour = behaviourOf(options.version ?? this.#options.version ?? '3.6.27');
    const number = this.#models.size + 1;
    const uuid = `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
    const model = new Model(this, { name, uuid, behaviour, proxies: options.proxies ?? {} });
    this.#models.set(name, model);
    return model;
  }

  /**
   * Lets agents do one thing, of all that could come next, as the seed decides; false when there is nothing.
   *
   * With `limit`, hooks that failed as often are left alone.
   */
  async step(limit = Number.POSITIVE_INFINITY): Promise<boolean> {
    const turn = this.#turn(limit);
    if (turn === undefined) return false;
    await turn;
    return true;
  }

  /** Lets agents work until nothing is left to do. */
  async settle({ tries = 3, operations = 20_000, wait = true }: SettleOptions = {}): Promise<void> {
    for (const unit of this.#units()) if (unit.failed !== undefined) unit.failed.tries = 0;
    for (let count = 0; count < operations; count += 1) {
      const turn = this.#turn(tries);
      if (turn !== undefined) {
        await turn;
        continue;
      }
      if (this.#running.size === 0) return;
      if (!wait && !this.#isHooks()) return;
      await Promise.race(this.#running.values());
    }
    throw new Error(`nothing settled in ${operations} operations, with the seed ${this.seed}`);
  }

  /** Lets one unit work until the promise is there, and others only as far as they are in its way. */
  async drive(unit: UnitState, until: { readonly isDone: () => boolean }): Promise<void> {
    for (let count = 0; !until.isDone(); count += 1) {
      if (count > 10_000) throw new Error(`${unit.name} does not come to it, with the seed ${this.seed}`);
      const operation = this.#operation(unit, 3);
      if (operation !== undefined && canLock(unit, operation)) await this.#start(unit, operation);
      else if (this.#running.size > 0) await Promise.race(this.#running.values());
      else throw new Refused(`${unit.name} does nothing any more, and does not come to what it was asked`);
    }
  }

  /** Starts actions and commands that can start now. */
  pump(): void {
    for (const unit of this.#units()) {
      if (unit.tasks[0]?.eager !== true && unit.commands[0]?.eager !== true) continue;
      const operation = this.#operation(unit, 0);
      if (operation === undefined || (operation.kind !== 'action' && operation.kind !== 'command')) continue;
      if (!operation.eager) continue;
      if (canLock(unit, operation)) void this.#start(unit, operation);
    }
  }

  /** Lets agents work all the time until the function that it gives back is called. */
  keepRunning(everyMs = 50): () => Promise<void> {
    let on = true;
    const loop = async (): Promise<void> => {
      while (on) {
        await this.settle({ tries: 1, wait: false });
        await new Promise((resolve) => setTimeout(resolve, everyMs));
      }
    };
    const done = loop();
    return async () => {
      on = false;
      await done;
    };
  }

  /** Starts what can start, and resolves when something of it has ended; `undefined` when there is nothing to start. */
  #turn(limit: number): Promise<unknown> | undefined {
    const started = this.#begin(limit);
    if (started === undefined) return undefined;
    const room = (this.#options.concurrency ?? 1) - this.#running.size;
    for (let more = 0; more < room; more += 1) if (this.#begin(limit) === undefined) break;
    return this.#running.size > 1 ? Promise.race(this.#running.values()) : started;
  }

  #isHooks(): boolean {
    return [...this.#running.keys()].some((unit) => unit.context?.operation.kind === 'hook');
  }

  *#units(): Generator<UnitState> {
    for (const model of this.#models.values()) yield* model.state.units.values();
  }

  #operation(unit: UnitState, limit: number): Operation | undefined {
    if (this.#running.has(unit)) return undefined;
    const operation = nextOperation(unit, eventsOf(unit), this.random);
    if (operation === undefined || operation !== unit.failed?.operation) return operation;
    return unit.failed.tries < limit ? operation : undefined;
  }

  #begin(limit: number): Promise<void> | undefined {
    const ready: { readonly unit: UnitState; readonly operation: Operation }[] = [];
    for (const unit of this.#units()) {
      const operation = this.#operation(unit, limit);
      if (operation !== undefined && canLock(unit, operation)) ready.push({ unit, operation });
    }
    if (ready.length === 0) return undefined;
    const { unit, operation } = this.random.pick(ready);
    return this.#start(unit, operation);
  }

  #start(unit: UnitState, operation: Operation): Promise<void> {
    const work = async (): Promise<void> => {
      try {
        await runOperation(unit, operation);
      } finally {
        this.#running.delete(unit);
      }
      this.pump();
    };
    const done = work();
    this.#running.set(unit, done);
    return done;
  }
}

function eventsOf(unit: UnitState): ScopeEvents {
  const { events } = unit.application.model;
  if (events === undefined) throw new Error('a model without its events');
  return events;
}
