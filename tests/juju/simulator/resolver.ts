import { containerOf } from './context.ts';
import type { Random } from './random.ts';
import { changedSecret } from './secrets.ts';
import type { HookOperation, Operation, RelationState, RelationView, Side, UnitState } from './state.ts';

/** What the resolver tells the model when a unit comes and goes. */
export interface ScopeEvents {
  enter(unit: UnitState, relation: RelationState, side: Side): void;
  leave(unit: UnitState, view: RelationView): void;
  gone(unit: UnitState): Promise<void>;
  die(unit: UnitState): void;
  deploy(unit: UnitState): Promise<void>;
}

/** What a unit's agent does next, in the order that Juju's resolver has; `undefined` when there is nothing. */
export function nextOperation(unit: UnitState, events: ScopeEvents, random: Random): Operation | undefined {
  if (unit.life === 'dead') return undefined;
  if (unit.failed === undefined) {
    const early = newRelation(unit, events) ?? leadership(unit) ?? secrets(unit);
    if (early !== undefined) return early;
  }
  if (unit.installed) {
    const asked = unit.tasks[0] ?? unit.commands[0];
    if (asked !== undefined) return asked;
  }
  if (unit.failed !== undefined) return unit.failed.operation;
  if (unit.queued !== undefined) return unit.queued;
  if (unit.life === 'dying') return teardown(unit, events, random);
  return life(unit, events) ?? relations(unit, events, random) ?? updateStatus(unit);
}

function hook(name: string, done: () => void, more: Partial<HookOperation> = {}): HookOperation {
  return { kind: 'hook', name, done, ...more };
}

function silent(work: () => unknown): Operation {
  return {
    kind: 'silent',
    apply: () => {
      work();
    },
  };
}

/** Relations that the agent has not seen yet, all at once; then their -created, one by one. */
function newRelation(unit: UnitState, events: ScopeEvents): Operation | undefined {
  if (!unit.installed || unit.life !== 'alive' || unit.queued !== undefined) return undefined;
  const found = [...unit.application.relations].flatMap((relation) =>
    relation.life === 'alive' && !unit.views.has(relation.id)
      ? sidesOf(relation, unit).map((side) => ({ relation, side }))
      : [],
  );
  if (found.length > 0) {
    return {
      kind: 'silent',
      apply: () => {
        for (const { relation, side } of found) events.enter(unit, relation, side);
      },
    };
  }
  for (const view of unit.views.values()) {
    if (view.created || view.relation.life !== 'alive') continue;
    return hook(`${view.side.endpoint.name}-relation-created`, () => (view.created = true), { view });
  }
  return undefined;
}

/** The unit's own side of a relation, if the relation is one of the unit's; a subordinate sees only its principal's. */
function sidesOf(relation: RelationState, unit: UnitState): readonly Side[] {
  const side = relation.sides.find(({ application }) => application === unit.application);
  if (side === undefined) return [];
  if (relation.scope === 'global' || unit.principal === undefined) return [side];
  const other = relation.sides.find(({ application }) => application !== unit.application)?.application;
  const sees = other === unit.principal.application || other?.charm.subordinate === true;
  return sees ? [side] : [];
}

function leadership(unit: UnitState): Operation | undefined {
  const { application } = unit;
  if (!unit.installed || unit.life !== 'alive' || unit.queued !== undefined) return undefined;
  if (application.leader !== unit || unit.termSeen === application.term) return undefined;
  const { term } = application;
  return hook('leader-elected', () => (unit.termSeen = term), { isStale: () => application.leader !== unit });
}

function secrets(unit: UnitState): Operation | undefined {
  if (!unit.started || unit.life !== 'alive' || unit.queued !== undefined) return undefined;
  const changed = changedSecret(unit);
  return changed && hook('secret-changed', () => changed.tell(), { secret: changed.secret });
}

function life(unit: UnitState, events: ScopeEvents): Operation | undefined {
  const { application } = unit;
  if (!unit.installed) {
    if (unit.revision === 0) return { kind: 'silent', apply: () => events.deploy(unit) };
    return hook('install', () => (unit.installed = true));
  }
  if (unit.revision !== application.revision) return { kind: 'silent', apply: () => events.deploy(unit) };
  if (unit.configSeen !== application.configVersion) return configChanged(unit);
  return undefined;
}

/** The hook config-changed; the first one has start behind it. */
function configChanged(unit: UnitState): HookOperation {
  const { configVersion } = unit.application;
  return hook('config-changed', () => {
    unit.configSeen = configVersion;
    if (!unit.started) unit.queued = hook('start', () => (unit.started = true));
  });
}

/** The hook upgrade-charm, with config-changed right behind it. */
export function upgradeCharm(unit: UnitState): HookOperation {
  return hook('upgrade-charm', () => (unit.queued = configChanged(unit)));
}

function updateStatus(unit: UnitState): Operation | undefined {
  if (!unit.updateStatusDue || !unit.started) return undefined;
  return hook('update-status', () => undefined);
}

function teardown(unit: UnitState, events: ScopeEvents, random: Random): Operation | undefined {
  const alive = [...unit.subordinates].filter((subordinate) => subordinate.life === 'alive');
  if (alive.length > 0) return { kind: 'silent', apply: () => alive.forEach((subordinate) => events.die(subordinate)) };
  const relation = relations(unit, events, random);
  if (relation !== undefined) return relation;
  if (unit.started && !unit.stopped) return hook('stop', () => (unit.stopped = true));
  if (unit.installed && !unit.removed) return hook('remove', () => (unit.removed = true));
  // A principal stays until its subordinates are gone, with all of its own hooks behind it.
  if (unit.subordinates.size > 0) return undefined;
  return { kind: 'silent', apply: () => events.gone(unit) };
}

function relations(unit: UnitState, events: ScopeEvents, random: Random): Operation | undefined {
  // Juju goes through a map: any order.
  const views = [...unit.views.values()].filter(({ broken }) => !broken);
  const first = views.length > 1 ? random.below(views.length) : 0;
  for (let count = 0; count < views.length; count += 1) {
    const view = views[(first + count) % views.length];
    const operation = view === undefined ? undefined : relationHook(unit, view, events);
    if (operation !== undefined) return operation;
  }
  return undefined;
}

/** One relation: departed, then broken, then the application's data, then joined with its changed, then changed. */
function relationHook(unit: UnitState, view: RelationView, events: ScopeEvents): Operation | undefined {
  const { relation, side } = view;
  const breaks = relation.life !== 'alive' || unit.life === 'dying';
  if (!view.created) {
    return breaks
      ? silent(() => {
          events.leave(unit, view);
        })
      : undefined;
  }
  if (side.implicit)
    return breaks
      ? silent(() => {
          events.leave(unit, view);
        })
      : undefined;
  if (view.changedNext !== undefined && !breaks) return changed(view, view.changedNext);
  const present = remoteUnits(unit, view);
  for (const member of view.members.keys()) if (breaks || !present.has(member)) return departed(unit, view, member);
  if (breaks) {
    if (relation.sides.length === 1) return silent(() => (view.broken = true));
    return hook(`${side.endpoint.name}-relation-broken`, () => events.leave(unit, view), { view });
  }
  const application = relation.applicationBags.get(view.remote.application.name);
  if (application !== undefined && application.version !== view.applicationVersion) {
    const { version } = application;
    const own = view.remote.application === unit.application && unit.application.leader === unit;
    const seen = () => (view.applicationVersion = version);
    return own ? silent(seen) : hook(`${side.endpoint.name}-relation-changed`, seen, { view });
  }
  for (const member of present) if (!view.members.has(member)) return joined(view, member);
  for (const member of present) {
    if (view.members.get(member) !== relation.unitBags.get(member.name)?.version) return changed(view, member);
  }
  return undefined;
}

function departed(unit: UnitState, view: RelationView, member: UnitState): HookOperation {
  const own = unit.life === 'dying' || unit.application.life === 'dying';
  const departing = own ? unit.name : member.name;
  const done = () => {
    view.members.delete(member);
    if (view.changedNext === member) view.changedNext = undefined;
  };
  return hook(`${view.side.endpoint.name}-relation-departed`, done, { view, remoteUnit: member, departing });
}

function joined(view: RelationView, member: UnitState): HookOperation {
  const done = () => {
    view.members.set(member, -1);
    view.changedNext = member;
  };
  return hook(`${view.side.endpoint.name}-relation-joined`, done, { view, remoteUnit: member });
}

function changed(view: RelationView, member: UnitState): HookOperation {
  const version = view.relation.unitBags.get(member.name)?.version ?? 0;
  const done = () => {
    view.members.set(member, version);
    if (view.changedNext === member) view.changedNext = undefined;
  };
  return hook(`${view.side.endpoint.name}-relation-changed`, done, { view, remoteUnit: member });
}

/** The other side's units that are there, as far as this unit may see them. */
function remoteUnits(unit: UnitState, view: RelationView): ReadonlySet<UnitState> {
  const present = new Set<UnitState>();
  for (const other of view.relation.inScope) {
    if (other === unit || other.application !== view.remote.application) continue;
    if (view.relation.scope === 'container' && containerOf(other) !== containerOf(unit)) continue;
    present.add(other);
  }
  return present;
}
