import type { Endpoint } from './charm.ts';
import { Refused } from './refused.ts';
import type { ApplicationState, ModelState, RelationState, Side } from './state.ts';

const jujuInfo: Endpoint = {
  name: 'juju-info',
  interface: 'juju-info',
  role: 'provides',
  scope: 'global',
  limit: undefined,
};

/** The two sides that two names, each with or without its endpoint, can mean; refused when that is none or not one. */
export function resolveSides(model: ModelState, one: string, other: string): readonly [Side, Side] {
  const pairs = candidates(model, one).flatMap((left) =>
    candidates(model, other)
      .filter((right) => fits(left, right))
      .map((right) => [left, right] as const),
  );
  // What a charm declares goes before what every charm has.
  const declared = pairs.filter((pair) => pair.every((side) => !side.implicit));
  const [pair, ...more] = declared.length > 0 ? declared : pairs;
  if (pair === undefined) throw new Refused(`no relations found between "${one}" and "${other}"`);
  if (more.length > 0) {
    const names = [pair, ...more].map((sides) => sides.map(nameOf).join(' '));
    throw new Refused(
      `ambiguous relation: "${one} ${other}" could refer to ${names.map((name) => `"${name}"`).join('; ')}`,
    );
  }
  return pair;
}

function candidates(model: ModelState, text: string): readonly Side[] {
  const [name = '', endpoint] = text.split(':');
  const application = model.applications.get(name);
  if (application === undefined) throw new Refused(`application "${name}" not found`);
  const sides = [...application.charm.endpoints.values()].map((declared) => ({
    application,
    endpoint: declared,
    implicit: false,
  }));
  return [...sides, { application, endpoint: jujuInfo, implicit: true }].filter(
    (side) => endpoint === undefined || side.endpoint.name === endpoint,
  );
}

function fits(left: Side, right: Side): boolean {
  const roles = new Set([left.endpoint.role, right.endpoint.role]);
  if (!roles.has('provides') || !roles.has('requires')) return false;
  return left.application !== right.application && left.endpoint.interface === right.endpoint.interface;
}

function nameOf({ application, endpoint }: Side): string {
  return `${application.name}:${endpoint.name}`;
}

/** Makes the relation of two sides, or refuses it as Juju does. */
export function connect(model: ModelState, sides: readonly [Side, Side]): RelationState {
  const [left, right] = sides;
  const title = `${nameOf(left)} ${nameOf(right)}`;
  for (const { application } of sides) {
    if (application.life !== 'alive') throw new Refused(`application "${application.name}" is not alive`);
  }
  for (const relation of model.relations.values()) {
    if (sides.every((side) => relation.sides.some((there) => nameOf(there) === nameOf(side)))) {
      throw new Refused(`relation ${title} already exists`);
    }
  }
  for (const side of sides) checkLimit(side);
  const scope = sides.some(({ endpoint }) => endpoint.scope === 'container') ? 'container' : 'global';
  if (scope === 'container') checkContainer(left.application, right.application);
  return addRelation(model, sides, scope);
}

function checkLimit({ application, endpoint }: Side): void {
  if (endpoint.limit === undefined) return;
  const count = [...application.relations].filter((relation) =>
    relation.sides.some((side) => side.application === application && side.endpoint.name === endpoint.name),
  ).length;
  if (count >= endpoint.limit) {
    throw new Refused(
      `establishing a new relation for ${application.name}:${endpoint.name} would exceed its maximum relation limit of ${endpoint.limit}`,
    );
  }
}

function checkContainer(left: ApplicationState, right: ApplicationState): void {
  if (!left.charm.subordinate && !right.charm.subordinate) {
    throw new Refused(`container scoped relation requires at least one subordinate application`);
  }
  if (left.base !== right.base) throw new Refused("principal and subordinate applications' bases must match");
}

/** Adds a relation, also one of peers, which has one side. */
export function addRelation(model: ModelState, sides: readonly Side[], scope: RelationState['scope']): RelationState {
  const relation: RelationState = {
    id: model.nextRelation,
    scope,
    sides,
    life: 'alive',
    inScope: new Set(),
    unitBags: new Map(),
    applicationBags: new Map(sides.map(({ application }) => [application.name, { data: {}, version: 0 }])),
  };
  model.nextRelation += 1;
  model.relations.set(relation.id, relation);
  for (const { application } of sides) application.relations.add(relation);
  return relation;
}
