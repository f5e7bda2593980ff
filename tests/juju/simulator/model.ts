import type { ConfigValue } from '../../../src/juju/hook-tools.ts';
import { restarted } from './agent.ts';
import { validate, withDefaults } from './action-schema.ts';
import { checkValue, parseCharm, readCharmFiles, type Charm, type CharmFiles } from './charm.ts';
import { makeInProcessRunner, type Handler } from './in-process.ts';
import { connect, resolveSides } from './integrate.ts';
import { ModelEvents } from './model-events.ts';
import { principalFiles, principalHandler, type PrincipalCharm } from './principal.ts';
import { Refused } from './refused.ts';
import { addSecret, secretOf, updateSecret } from './secrets.ts';
import type { Runner } from './runner.ts';
import type { Simulator } from './simulator.ts';
import type { ActionResult, ApplicationState, LogLine, MachineState, ModelState, Task, UnitState } from './state.ts';
import type { Behaviour } from './versions.ts';
import type { ProcessFace } from './processes.ts';

/** The charm under test: a function in this process, or a directory that is run as Juju runs it. */
export type CharmSource =
  | { readonly files: CharmFiles; readonly handler: Handler }
  | { readonly charmDirectory: string; readonly processes: ProcessFace };

/** What `juju status` shows of a unit. */
export interface UnitStatus {
  readonly status: string;
  readonly message: string;
  readonly agent: 'idle' | 'executing' | 'error';
  readonly version: string;
}

/** A model, in the words of an administrator. Applications and units go by their names. */
export class Model {
  readonly state: ModelState;
  readonly events: ModelEvents;
  readonly #simulator: Simulator;

  constructor(
    simulator: Simulator,
    given: { name: string; uuid: string; behaviour: Behaviour; proxies: Readonly<Record<string, string>> },
  ) {
    this.#simulator = simulator;
    this.state = {
      ...given,
      machines: new Map(),
      applications: new Map(),
      relations: new Map(),
      units: new Map(),
      unitNumbers: new Map(),
      secrets: new Map(),
      nextRelation: 0,
      nextTask: 1,
      events: undefined,
    };
    this.events = new ModelEvents(this.state, simulator.random);
    this.state.events = this.events;
  }

  get name(): string {
    return this.state.name;
  }

  get uuid(): string {
    return this.state.uuid;
  }

  /** `juju deploy` of a double; gives back the names of its units. */
  deployPrincipal(
    name: string,
    {
      charm,
      units = 1,
      base = 'ubuntu@24.04',
      to,
    }: { charm: PrincipalCharm; units?: number; base?: string; to?: string },
  ): readonly string[] {
    const parsed = parseCharm(principalFiles(charm), this.state.behaviour);
    if (parsed.subordinate) throw new Refused(`charm "${charm.name}" is a subordinate`);
    const quiet = { random: this.#simulator.random, crash: () => undefined, mixed: false };
    this.#deploy(name, parsed, makeInProcessRunner(principalHandler(charm), quiet), base);
    return Array.from({ length: units }, () => this.addUnit(name, to === undefined ? {} : { to }));
  }

  /** `juju deploy` of the charm under test. It has no units until it is integrated. */
  async deploySubordinate(
    name: string,
    source: CharmSource,
    { base = 'ubuntu@24.04', config = {} }: { base?: string; config?: Readonly<Record<string, ConfigValue>> } = {},
  ): Promise<void> {
    const { charm, runner } = await this.#read(source);
    if (!charm.subordinate) throw new Refused(`charm "${charm.name}" is no subordinate`);
    this.#deploy(name, charm, runner, base);
    this.config(name, config);
  }

  /** `juju integrate application[:endpoint] application[:endpoint]`; gives back the number of the relation. */
  integrate(one: string, other: string): number {
    const sides = resolveSides(this.state, one, other);
    return connect(this.state, sides).id;
  }

  /** `juju config`; `undefined` resets an option. */
  config(name: string, values: Readonly<Record<string, ConfigValue | undefined>>): void {
    const application = this.#application(name);
    for (const [option, value] of Object.entries(values)) {
      const declared = application.charm.options.get(option);
      if (declared === undefined) throw new Refused(`unknown option "${option}"`);
      if (value !== undefined) checkValue(option, declared.type, value);
    }
    for (const [option, value] of Object.entries(values)) {
      if (application.config.get(option) === value) continue;
      if (value === undefined) application.config.delete(option);
      else application.config.set(option, value);
      application.configVersion += 1;
    }
  }

  /** `juju add-unit` of a principal, on a machine of its own or `to` one that is there; gives back its name. */
  addUnit(name: string, { to }: { to?: string } = {}): string {
    const application = this.#application(name);
    if (application.charm.subordinate) throw new Refused(`cannot add unit to subordinate application "${name}"`);
    if (application.life !== 'alive') throw new Refused(`application "${name}" is not alive`);
    return this.events.addUnit(application, this.#machine(to), undefined).name;
  }

  /** `juju remove-unit` of a principal. */
  removeUnit(name: string): void {
    const unit = this.unit(name);
    if (unit.principal !== undefined)
      throw new Refused(`unit "${name}" is a subordinate, to remove it, remove its relation`);
    this.events.die(unit);
  }

  /** `juju remove-application`. */
  removeApplication(name: string): void {
    const application = this.#application(name);
    application.life = 'dying';
    for (const relation of application.relations) this.events.dissolve(relation);
    if (!application.charm.subordinate) for (const unit of application.units) this.events.die(unit);
    this.events.bury(application);
  }

  /** `juju remove-relation`, by the names of both sides as in `integrate`. */
  removeRelation(one: string, other: string): void {
    const [left = '', leftEndpoint] = one.split(':');
    const [right = '', rightEndpoint] = other.split(':');
    const found = [...this.state.relations.values()].filter(({ sides, life }) => {
      const has = (name: string, endpoint: string | undefined) =>
        sides.some((side) => side.application.name === name && (endpoint ?? side.endpoint.name) === side.endpoint.name);
      return life === 'alive' && sides.length === 2 && has(left, leftEndpoint) && has(right, rightEndpoint);
    });
    const [relation] = found;
    if (relation === undefined) throw new Refused(`relation "${one} ${other}" not found`);
    if (found.length > 1) throw new Refused(`ambiguous relation: "${one} ${other}"`);
    this.events.dissolve(relation);
  }

  /** `juju refresh --path`. */
  async refresh(name: string, source: CharmSource): Promise<void> {
    const application = this.#application(name);
    const { charm, runner } = await this.#read(source);
    for (const { sides } of application.relations) {
      for (const side of sides) {
        if (side.application !== application || side.implicit || charm.endpoints.has(side.endpoint.name)) continue;
        throw new Refused(`cannot upgrade application "${name}": would break relation "${side.endpoint.name}"`);
      }
    }
    application.charm = charm;
    application.runner = runner;
    application.revision += 1;
    this.events.addPeers(application);
  }

  /** `juju run` that waits: lets the unit work until the action has ended. */
  async run(unit: string, action: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<ActionResult> {
    const task = this.#enqueue(unit, action, parameters, false);
    let result: ActionResult | undefined;
    void task.finished.then((ended) => (result = ended));
    await this.#simulator.drive(this.unit(unit), { isDone: () => task.result !== undefined });
    return result ?? (await task.finished);
  }

  /** `juju run --background`: the action runs as soon as the unit can. */
  start(unit: string, action: string, parameters: Readonly<Record<string, unknown>> = {}): Task {
    const task = this.#enqueue(unit, action, parameters, true);
    this.#simulator.pump();
    return task;
  }

  /** Asks for an action that runs when a step comes to it: for stories whose order the seed decides. */
  ask(unit: string, action: string, parameters: Readonly<Record<string, unknown>> = {}): Task {
    return this.#enqueue(unit, action, parameters, false);
  }

  /** `juju cancel-task`. */
  cancel(unit: string, task: Task): void {
    const state = this.unit(unit);
    if (task.status === 'running') state.context?.interrupt?.('abort');
    if (task.status !== 'pending') return;
    state.tasks.splice(state.tasks.indexOf(task), 1);
    const result: ActionResult = {
      status: 'cancelled',
      message: 'action cancelled via the API',
      results: {},
      log: [],
      exitCode: 1,
    };
    Object.assign(task, { status: 'cancelled', result });
    task.finish(result);
  }

  /** `juju model-config juju-http-proxy=…` and its like: hooks see it from the next one on, and none is run for it. */
  setProxies(proxies: Readonly<Record<string, string>>): void {
    this.state.proxies = proxies;
  }

  /** `juju add-secret`; gives back its URI. */
  addSecret(name: string, content: Readonly<Record<string, string>>): string {
    return addSecret(this.state, name, content);
  }

  /** `juju update-secret`. */
  updateSecret(uri: string, content: Readonly<Record<string, string>>): void {
    updateSecret(this.state, uri, content);
  }

  /** `juju grant-secret`. */
  grantSecret(uri: string, application: string): void {
    secretOf(this.state, uri).grants.add(this.#application(application));
  }

  /** `juju revoke-secret`. */
  revokeSecret(uri: string, application: string): void {
    secretOf(this.state, uri).grants.delete(this.#application(application));
  }

  /** What a job does with juju-exec: the charm runs a hook of a name of our own, when a step comes to it. */
  wake(unit: string, hook: string): void {
    this.events.wake(this.unit(unit), hook);
  }

  /** The time of update-status has come, of one unit or of all. */
  updateStatus(unit?: string): void {
    for (const state of unit === undefined ? this.state.units.values() : [this.unit(unit)])
      state.updateStatusDue = true;
  }

  /** `juju resolve`: the hook that failed runs again with the next step. */
  resolve(unit: string): void {
    const state = this.unit(unit);
    if (state.failed === undefined) throw new Refused(`unit "${unit}" is not in an error state`);
    state.failed.tries = 0;
  }

  /** The agent of a unit dies, with what runs in it, and comes back. */
  killAgent(unit: string): void {
    const state = this.unit(unit);
    if (state.context === undefined) restarted(state);
    state.context?.interrupt?.('agent');
  }

  /** Leadership goes to this unit, or to any other that can have it. */
  moveLeadership(name: string, to?: string): void {
    const application = this.#application(name);
    const unit = to === undefined ? undefined : this.unit(to);
    if (unit !== undefined && (unit.life !== 'alive' || unit.application !== application)) {
      throw new Refused(`${unit.name} cannot lead ${name}`);
    }
    this.events.elect(application, unit);
  }

  leaderOf(name: string): string | undefined {
    return this.#application(name).leader?.name;
  }

  statusOf(name: string): UnitStatus {
    const { failed, busy, workload, workloadVersion: version } = this.unit(name);
    if (failed !== undefined) {
      return { status: 'error', message: `hook failed: "${failed.operation.name}"`, agent: 'error', version };
    }
    return { ...workload, agent: busy ? 'executing' : 'idle', version };
  }

  /** The lines of a unit's log. */
  logOf(name: string): readonly LogLine[] {
    return this.unit(name).log;
  }

  /** The hooks and actions that a unit has run, in their order; those that ended well only. */
  hooksOf(name: string): readonly string[] {
    return this.unit(name)
      .history.filter(({ end }) => end === 'done')
      .map((line) => line.name);
  }

  /** What the controller keeps in a bag of the first relation of an endpoint, whoever may read it. */
  bagOf(member: string, endpoint: string): Readonly<Record<string, string>> {
    const application = this.#application(member.split('/')[0] ?? '');
    for (const relation of application.relations) {
      if (!relation.sides.some((side) => side.application === application && side.endpoint.name === endpoint)) continue;
      const bag = member.includes('/') ? relation.unitBags.get(member) : relation.applicationBags.get(member);
      if (bag !== undefined) return bag.data;
    }
    throw new Refused(`${member} has no relation ${endpoint}`);
  }

  /** The names of an application's units, those that go included. */
  unitsOf(name: string): readonly string[] {
    return [...(this.state.applications.get(name)?.units ?? [])].map((unit) => unit.name);
  }

  has(application: string): boolean {
    return this.state.applications.has(application);
  }

  unit(name: string): UnitState {
    const unit = this.state.units.get(name);
    if (unit === undefined) throw new Refused(`unit "${name}" not found`);
    return unit;
  }

  #application(name: string): ApplicationState {
    const application = this.state.applications.get(name);
    if (application === undefined) throw new Refused(`application "${name}" not found`);
    return application;
  }

  #machine(id: string | undefined): MachineState {
    const { machines } = this.state;
    const there = id === undefined ? undefined : machines.get(id);
    if (there !== undefined) return there;
    if (id !== undefined) throw new Refused(`machine ${id} not found`);
    const machine: MachineState = { id: String(machines.size), model: this.state, locks: new Map() };
    machines.set(machine.id, machine);
    return machine;
  }

  async #read(source: CharmSource): Promise<{ charm: Charm; runner: Runner }> {
    if ('handler' in source) {
      const runner = makeInProcessRunner(source.handler, this.#simulator.chance);
      return { charm: parseCharm(source.files, this.state.behaviour), runner };
    }
    const files = await readCharmFiles(source.charmDirectory);
    const runner = source.processes.runner(source.charmDirectory, () => {
      this.#simulator.pump();
    });
    return { charm: parseCharm(files, this.state.behaviour), runner };
  }

  #deploy(name: string, charm: Charm, runner: Runner, base: string): void {
    if (this.state.applications.has(name)) throw new Refused(`application "${name}" already exists`);
    const application: ApplicationState = {
      name,
      model: this.state,
      base,
      charm,
      runner,
      revision: 1,
      life: 'alive',
      config: new Map(),
      configVersion: 1,
      units: new Set(),
      relations: new Set(),
      leader: undefined,
      leaderSettings: new Map(),
      term: 0,
    };
    this.state.applications.set(name, application);
    this.events.addPeers(application);
  }

  #enqueue(name: string, action: string, given: Readonly<Record<string, unknown>>, eager: boolean): Task {
    const unit = this.unit(name);
    const declared = unit.application.charm.actions.get(action);
    if (declared === undefined) throw new Refused(`action "${action}" not defined on unit "${name}"`);
    if (unit.life === 'dead') throw new Refused(`unit "${name}" is dead`);
    const { behaviour } = this.state;
    const parameters = withDefaults(declared.schema, given);
    validate(declared.schema, parameters, '(root)', behaviour.additionalProperties);
    const { promise, resolve } = Promise.withResolvers<ActionResult>();
    const task: Task = {
      kind: 'action',
      id: String(this.state.nextTask),
      name: action,
      parameters,
      locks: locksOfAction(declared, behaviour),
      eager,
      status: 'pending',
      log: [],
      result: undefined,
      finished: promise,
      finish: resolve,
    };
    this.state.nextTask += 1;
    unit.tasks.push(task);
    return task;
  }
}

function locksOfAction(
  { parallel, executionGroup }: { readonly parallel: boolean; readonly executionGroup: string | undefined },
  { executionGroups }: Behaviour,
): readonly string[] {
  if (!executionGroups) return ['machine-lock'];
  if (executionGroup !== undefined) return [`machine-lock-${executionGroup}`];
  return parallel ? [] : ['machine-lock'];
}
