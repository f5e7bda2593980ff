import { contextId } from './agent.ts';
import { HookContext } from './context.ts';
import { addRelation } from './integrate.ts';
import type { Random } from './random.ts';
import { upgradeCharm, type ScopeEvents } from './resolver.ts';
import type {
  ApplicationState,
  MachineState,
  ModelState,
  RelationState,
  RelationView,
  Side,
  UnitState,
} from './state.ts';

/** What comes of what agents and administrators do: units that are born and die, relations that end, who leads. */
export class ModelEvents implements ScopeEvents {
  readonly #model: ModelState;
  readonly #random: Random;

  constructor(model: ModelState, random: Random) {
    this.#model = model;
    this.#random = random;
  }

  addUnit(application: ApplicationState, machine: MachineState, principal: UnitState | undefined): UnitState {
    const number = this.#model.unitNumbers.get(application.name) ?? 0;
    this.#model.unitNumbers.set(application.name, number + 1);
    const unit: UnitState = {
      name: `${application.name}/${number}`,
      tag: `unit-${application.name}-${number}`,
      number,
      application,
      machine,
      principal,
      subordinates: new Set(),
      address: `10.0.0.${Number(machine.id) + 10}`,
      life: 'alive',
      installed: false,
      started: false,
      stopped: false,
      removed: false,
      revision: 0,
      configSeen: -1,
      termSeen: -1,
      updateStatusDue: false,
      queued: undefined,
      failed: undefined,
      views: new Map(),
      tasks: [],
      commands: [],
      busy: false,
      context: undefined,
      workload: { status: 'waiting', message: 'agent initialising' },
      statusWasSet: false,
      workloadVersion: '',
      state: new Map(),
      secrets: new Map(),
      log: [],
      history: [],
    };
    application.units.add(unit);
    principal?.subordinates.add(unit);
    this.#model.units.set(unit.name, unit);
    if (application.leader === undefined) this.elect(application, unit);
    return unit;
  }

  /** Peer relations that the charm declares and that are not there yet. */
  addPeers(application: ApplicationState): void {
    for (const endpoint of application.charm.endpoints.values()) {
      if (endpoint.role !== 'peers') continue;
      const isThere = [...application.relations].some(({ sides }) => sides[0]?.endpoint.name === endpoint.name);
      if (!isThere) addRelation(this.#model, [{ application, endpoint, implicit: false }], 'global');
    }
  }

  /** The agent has seen a relation: it has a bag now, others see it, and a subordinate is born. */
  enter(unit: UnitState, relation: RelationState, side: Side): void {
    const { address: ingress } = unit;
    const legacy = this.#model.behaviour.privateAddress ? { 'private-address': ingress } : {};
    const data = { 'egress-subnets': `${ingress}/32`, 'ingress-address': ingress, ...legacy };
    relation.unitBags.set(unit.name, { data, version: 0 });
    relation.inScope.add(unit);
    const remote = relation.sides.find((other) => other !== side) ?? side;
    unit.views.set(relation.id, {
      relation,
      side,
      remote,
      created: side.implicit,
      broken: false,
      members: new Map(),
      applicationVersion: 0,
      changedNext: undefined,
    });
    const { application } = remote;
    if (relation.scope !== 'container' || unit.principal !== undefined || !application.charm.subordinate) return;
    const isThere = [...unit.subordinates].some((subordinate) => subordinate.application === application);
    if (!isThere) this.addUnit(application, unit.machine, unit);
  }

  leave(unit: UnitState, view: RelationView): void {
    unit.views.delete(view.relation.id);
    this.#leaveScope(unit, view.relation);
  }

  /** Destroys a unit: its agent tears it down. */
  die(unit: UnitState): void {
    if (unit.life !== 'alive') return;
    unit.life = 'dying';
    if (unit.application.leader === unit) this.elect(unit.application, undefined);
  }

  /** Ends a relation; a subordinate that has no other with its principal's application goes with it. */
  dissolve(relation: RelationState): void {
    if (relation.life !== 'alive') return;
    relation.life = 'dying';
    if (relation.scope === 'container') for (const side of relation.sides) this.#loosen(side.application);
    if (relation.inScope.size === 0) this.#forget(relation);
  }

  /** The unit is gone, with all that its agent kept. */
  async gone(unit: UnitState): Promise<void> {
    unit.life = 'dead';
    unit.workload = { status: 'terminated', message: '' };
    const { application } = unit;
    await application.runner.remove(unit);
    for (const view of unit.views.values()) this.#leaveScope(unit, view.relation);
    for (const relation of application.relations) this.#leaveScope(unit, relation);
    for (const task of unit.tasks) {
      const result = { status: 'failed' as const, message: 'unit removed', results: {}, log: task.log, exitCode: 1 };
      task.status = 'failed';
      task.result = result;
      task.finish(result);
    }
    unit.tasks.length = 0;
    this.#model.units.delete(unit.name);
    application.units.delete(unit);
    unit.principal?.subordinates.delete(unit);
    this.bury(application);
  }

  /** Removes an application that is dying and has nothing left. */
  bury(application: ApplicationState): void {
    if (application.life !== 'dying' || application.units.size > 0) return;
    for (const relation of application.relations) if (relation.inScope.size === 0) this.#forget(relation);
    if (application.relations.size > 0) return;
    application.life = 'dead';
    this.#model.applications.delete(application.name);
  }

  /** Puts the charm on the machine; where there was one, upgrade-charm is next. */
  async deploy(unit: UnitState): Promise<void> {
    const { application } = unit;
    const wasThere = unit.installed;
    const { revision } = application;
    await application.runner.deploy(unit);
    unit.revision = revision;
    if (wasThere) unit.queued = upgradeCharm(unit);
  }

  /** Leadership goes to a unit, or to any other than the one that has it; to nobody where there is none. */
  elect(application: ApplicationState, to: UnitState | undefined): void {
    const others = [...application.units].filter((unit) => unit.life === 'alive' && unit !== application.leader);
    const next = to ?? (others.length === 0 ? undefined : this.#random.pick(others));
    if (next === undefined && application.leader?.life === 'alive') return;
    if (next === application.leader) return;
    application.leader = next;
    application.term += 1;
  }

  wake(unit: UnitState, name: string): void {
    unit.commands.push({
      kind: 'command',
      eager: false,
      run: async () => {
        const context = new HookContext(contextId(unit, 'run-commands'), unit, { kind: 'command' });
        unit.context = context;
        const hook = { kind: 'hook' as const, name, done: () => undefined };
        const ending = await unit.application.runner.run(context, hook);
        // Juju commits what a command wrote whatever its exit code.
        if (ending.how === 'exit') context.commit();
        context.close();
        unit.history.push({
          name,
          remote: undefined,
          departing: undefined,
          end: ending.how === 'exit' ? 'done' : 'failed',
        });
      },
    });
  }

  #loosen(application: ApplicationState): void {
    for (const unit of application.units) {
      if (unit.principal === undefined) continue;
      const { principal } = unit;
      const isHeld = [...application.relations].some(
        ({ life, scope, sides }) =>
          life === 'alive' && scope === 'container' && sides.some((side) => side.application === principal.application),
      );
      if (!isHeld) this.die(unit);
    }
  }

  #leaveScope(unit: UnitState, relation: RelationState): void {
    relation.inScope.delete(unit);
    if (relation.life === 'dying' && relation.inScope.size === 0) this.#forget(relation);
  }

  #forget(relation: RelationState): void {
    this.#model.relations.delete(relation.id);
    for (const { application } of relation.sides) {
      application.relations.delete(relation);
      this.bury(application);
    }
  }
}
