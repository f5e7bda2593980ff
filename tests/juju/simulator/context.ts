import type { Bag, ConfigValue, LogLevel, RelationData } from '../../../src/juju/hook-tools.ts';
import { Refused } from './refused.ts';
import type { BagState, HookOperation, ModelState, RelationView, Task, UnitState } from './state.ts';

/** What a hook tool says when it can't: its exit code is 1, or 2 where the command line is wrong. */
export class ToolError extends Error {
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

const resultName = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const reservedResults = new Set(['stdout', 'stdout-encoding', 'stderr', 'stderr-encoding']);
const statuses = new Set(['maintenance', 'blocked', 'waiting', 'active']);

/**
 * One run of a hook, an action or a command: what the tools see and what they have asked for.
 *
 * What is written is kept here until `commit`; what is said goes out at once. After `close` every tool fails.
 */
export class HookContext {
  readonly id: string;
  readonly unit: UnitState;
  readonly operation: HookOperation | Task | { readonly kind: 'command' };
  readonly results: Record<string, unknown> = {};
  failure: string | undefined;
  /** Ends what runs: only the charm's process, or everything with the agent. Set by who runs it. */
  interrupt: ((why: 'abort' | 'agent') => void) | undefined;
  #open = true;
  #config: Readonly<Record<string, ConfigValue>> | undefined;
  readonly #unitWrites = new Map<RelationView, Record<string, string>>();
  readonly #applicationWrites = new Map<RelationView, Record<string, string>>();
  /** What was read stays as it was read for the rest of the hook. */
  readonly #read = new Map<BagState, RelationData>();
  #state: Map<string, string> | undefined;

  constructor(id: string, unit: UnitState, operation: HookOperation | Task | { readonly kind: 'command' }) {
    this.id = id;
    this.unit = unit;
    this.operation = operation;
  }

  get model(): ModelState {
    return this.unit.application.model;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  close(): void {
    this.#open = false;
  }

  configGet(): Readonly<Record<string, ConfigValue>> {
    this.#check();
    this.#config ??= configOf(this.unit);
    return this.#config;
  }

  /** Every option, with `null` where it has no value. */
  configAll(): Readonly<Record<string, ConfigValue | null>> {
    const names = [...this.unit.application.charm.options.keys()];
    return { ...Object.fromEntries(names.map((name) => [name, null])), ...this.configGet() };
  }

  relationIds(endpoint: string): readonly string[] {
    this.#check();
    const views = [...this.unit.views.values()].filter(
      (view) => view.side.endpoint.name === endpoint && !view.broken && !this.#isBreaking(view),
    );
    return views.map(relationId).sort();
  }

  relationList(id: string): readonly string[] {
    this.#check();
    const view = this.view(id);
    const gone = this.operation.kind === 'hook' && this.operation.name.endsWith('-relation-departed');
    const leaving = gone && this.operation.view === view ? this.operation.remoteUnit : undefined;
    const joining =
      this.operation.kind === 'hook' && this.operation.view === view && this.operation.name.endsWith('-relation-joined')
        ? this.operation.remoteUnit
        : undefined;
    const members = new Set([...view.members.keys(), ...(joining === undefined ? [] : [joining])]);
    return [...members]
      .filter((unit) => unit !== leaving)
      .map(({ name }) => name)
      .sort();
  }

  relationApplication(id: string): string {
    this.#check();
    return this.view(id).remote.application.name;
  }

  /** A bag of anyone; `undefined` where the member has none. */
  relationGet(id: string, bag: Bag, member: string): RelationData {
    this.#check();
    const view = this.view(id);
    const { relation } = view;
    if (bag === 'app') {
      const name = member.split('/')[0] ?? '';
      const state = relation.applicationBags.get(name);
      if (state === undefined) throw new ToolError(1, `permission denied (unauthorized access)`);
      if (name !== this.unit.application.name) return this.#readBag(state);
      if (!this.#leads()) {
        // Every unit may read what the leader says to its peers, and nobody else what it says to others.
        if (view.side.endpoint.role === 'peers') return this.#readBag(state);
        throw new ToolError(1, 'permission denied (unauthorized access)');
      }
      return overlay(state.data, this.#applicationWrites.get(view));
    }
    const state = relation.unitBags.get(member);
    if (state === undefined) {
      throw new ToolError(
        1,
        `cannot read settings for unit "${member}" in relation "${view.side.endpoint.name}:${relation.id}": settings not found`,
      );
    }
    if (member === this.unit.name) return overlay(state.data, this.#unitWrites.get(view));
    if (!isVisible(view, this.unit, member)) throw new ToolError(1, 'permission denied (unauthorized access)');
    return this.#readBag(state);
  }

  relationSet(id: string, bag: Bag, data: RelationData): void {
    this.#check();
    const view = this.view(id);
    if (bag === 'app' && !this.#leads()) throw new ToolError(1, 'cannot write relation settings');
    const writes = bag === 'app' ? this.#applicationWrites : this.#unitWrites;
    writes.set(view, { ...writes.get(view), ...data });
  }

  isLeader(): boolean {
    this.#check();
    return this.#leads();
  }

  statusSet(status: string, message: string): void {
    this.#check();
    if (!statuses.has(status)) {
      throw new ToolError(2, `invalid status "${status}", expected one of [maintenance blocked waiting active]`);
    }
    this.unit.workload = { status, message };
    this.unit.statusWasSet = true;
  }

  applicationVersionSet(version: string): void {
    this.#check();
    this.unit.workloadVersion = version;
  }

  actionGet(): Readonly<Record<string, unknown>> {
    return this.#task().parameters;
  }

  actionSet(results: Readonly<Record<string, string>>): void {
    this.#task();
    for (const [name, value] of Object.entries(results)) {
      const path = name.split('.');
      for (const part of path) {
        if (!resultName.test(part))
          throw new ToolError(
            2,
            `key "${part}" must start and end with lowercase alphanumeric, and contain only lowercase alphanumeric and hyphens`,
          );
        if (reservedResults.has(part)) throw new ToolError(2, `cannot set reserved action key "${part}"`);
      }
      nest(this.results, path, value);
    }
  }

  actionFail(message: string): void {
    this.#task();
    this.failure = message;
  }

  actionLog(message: string): void {
    this.#task().log.push(message);
  }

  log(level: LogLevel, message: string): void {
    this.#check();
    this.unit.log.push({ level, text: message });
  }

  stateGet(): Readonly<Record<string, string>> {
    this.#check();
    return Object.fromEntries(this.#state ?? this.unit.state);
  }

  stateSet(key: string, value: string | undefined): void {
    this.#check();
    this.#state ??= new Map(this.unit.state);
    if (value === undefined) this.#state.delete(key);
    else this.#state.set(key, value);
  }

  /** The relation of an id, `peers:0` or `0`. */
  view(id: string): RelationView {
    const [, name, number = ''] = /^(?:([^:]+):)?(\d+)$/.exec(id) ?? [];
    const view = this.unit.views.get(Number(number));
    if (number === '' || view === undefined || (name !== undefined && view.side.endpoint.name !== name)) {
      const why = number === '' ? 'invalid relation id' : 'relation not found';
      throw new ToolError(2, `invalid value "${id}" for option -r: ${why}`);
    }
    return view;
  }

  /** Applies what was written; gives back whether Juju took it. */
  commit(): boolean {
    if (this.#applicationWrites.size > 0 && !this.#leads()) return false;
    for (const [view, data] of this.#unitWrites) write(view.relation.unitBags.get(this.unit.name), data);
    for (const [view, data] of this.#applicationWrites) {
      write(view.relation.applicationBags.get(this.unit.application.name), data);
    }
    if (this.#state !== undefined) {
      this.unit.state.clear();
      for (const [key, value] of this.#state) this.unit.state.set(key, value);
    }
    return true;
  }

  #check(): void {
    if (!this.#open) throw new Refused(`a hook tool was used after its hook had ended (${this.id})`);
  }

  #task(): Task {
    this.#check();
    if (this.operation.kind !== 'action') throw new ToolError(1, 'not running an action');
    return this.operation;
  }

  #leads(): boolean {
    return this.unit.application.leader === this.unit;
  }

  #isBreaking(view: RelationView): boolean {
    const { operation } = this;
    return operation.kind === 'hook' && operation.view === view && operation.name.endsWith('-relation-broken');
  }

  #readBag(state: BagState): RelationData {
    const read = this.#read.get(state) ?? { ...state.data };
    this.#read.set(state, read);
    return read;
  }
}

/** The name of a relation as hook tools say it. */
export function relationId({ side, relation }: RelationView): string {
  return `${side.endpoint.name}:${relation.id}`;
}

/** The unit that a unit lives beside, or itself. */
export function containerOf(unit: UnitState): UnitState {
  return unit.principal ?? unit;
}

function isVisible(view: RelationView, unit: UnitState, member: string): boolean {
  const other = unit.application.model.units.get(member);
  if (other === undefined || view.relation.scope === 'global') return true;
  return containerOf(other) === containerOf(unit);
}

/** The options that have a value. */
function configOf(unit: UnitState): Readonly<Record<string, ConfigValue>> {
  const { charm, config } = unit.application;
  const values: Record<string, ConfigValue> = {};
  for (const [name, option] of charm.options) {
    const value = config.get(name) ?? option.default;
    if (value !== undefined) values[name] = value;
  }
  return values;
}

function overlay(data: RelationData, writes: RelationData | undefined): RelationData {
  const merged = { ...data, ...writes };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== ''));
}

function write(bag: BagState | undefined, data: RelationData): void {
  if (bag === undefined) return;
  const next = overlay(bag.data, data);
  const changed =
    Object.keys(next).length !== Object.keys(bag.data).length ||
    Object.entries(next).some(([name, value]) => bag.data[name] !== value);
  if (!changed) return;
  bag.data = { ...next };
  bag.version += 1;
}

function nest(results: Record<string, unknown>, path: readonly string[], value: string): void {
  const [first = '', ...rest] = path;
  if (rest.length === 0) {
    results[first] = value;
    return;
  }
  const inner = results[first];
  const map = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : {};
  results[first] = map;
  nest(map, rest, value);
}
