import type { ConfigValue, LogLevel } from '../../../src/juju/hook-tools.ts';
import type { Charm, Endpoint } from './charm.ts';
import type { HookContext } from './context.ts';
import type { ScopeEvents } from './resolver.ts';
import type { Runner } from './runner.ts';
import type { SecretState } from './secrets.ts';
import type { Behaviour } from './versions.ts';

type Life = 'alive' | 'dying' | 'dead';

/** A bag and how often it was changed. */
export interface BagState {
  data: Record<string, string>;
  version: number;
}

export interface ModelState {
  readonly name: string;
  readonly uuid: string;
  readonly behaviour: Behaviour;
  readonly machines: Map<string, MachineState>;
  readonly applications: Map<string, ApplicationState>;
  readonly relations: Map<number, RelationState>;
  readonly units: Map<string, UnitState>;
  /** The next number of a unit, by the name of its application; never used again. */
  readonly unitNumbers: Map<string, number>;
  proxies: Readonly<Record<string, string>>;
  /** Secrets of the model's user, by their ids. */
  readonly secrets: Map<string, SecretState>;
  nextRelation: number;
  nextTask: number;
  /** What comes of what agents do; set once. */
  events: ScopeEvents | undefined;
}

export interface MachineState {
  readonly id: string;
  readonly model: ModelState;
  /** Who holds a lock, by its name. */
  readonly locks: Map<string, UnitState>;
}

export interface ApplicationState {
  readonly name: string;
  readonly model: ModelState;
  readonly base: string;
  charm: Charm;
  runner: Runner;
  /** Grows with each refresh. */
  revision: number;
  life: Life;
  readonly config: Map<string, ConfigValue>;
  configVersion: number;
  readonly units: Set<UnitState>;
  readonly relations: Set<RelationState>;
  leader: UnitState | undefined;
  /** What `leader-set` of old has set. */
  readonly leaderSettings: Map<string, string>;
  /** Grows whenever leadership moves. */
  term: number;
}

export interface Side {
  readonly application: ApplicationState;
  readonly endpoint: Endpoint;
  /** Juju's own juju-info: its unit runs no hooks. */
  readonly implicit: boolean;
}

export interface RelationState {
  readonly id: number;
  readonly scope: 'global' | 'container';
  readonly sides: readonly Side[];
  life: Life;
  readonly inScope: Set<UnitState>;
  /** Kept until the relation is gone, also of units that have left. */
  readonly unitBags: Map<string, BagState>;
  readonly applicationBags: Map<string, BagState>;
}

/** What a unit's agent knows of a relation. */
export interface RelationView {
  readonly relation: RelationState;
  readonly side: Side;
  readonly remote: Side;
  created: boolean;
  broken: boolean;
  /** Versions of the bags of those who have joined. */
  readonly members: Map<UnitState, number>;
  applicationVersion: number;
  /** Who has joined and whose -changed follows at once. */
  changedNext: UnitState | undefined;
}

export interface LogLine {
  readonly level: LogLevel;
  readonly text: string;
}

export interface UnitState {
  readonly name: string;
  readonly tag: string;
  readonly number: number;
  readonly application: ApplicationState;
  readonly machine: MachineState;
  readonly principal: UnitState | undefined;
  readonly subordinates: Set<UnitState>;
  readonly address: string;
  life: Life;
  installed: boolean;
  started: boolean;
  stopped: boolean;
  removed: boolean;
  revision: number;
  configSeen: number;
  termSeen: number;
  updateStatusDue: boolean;
  /** The hook that comes next whatever else is there, save actions and commands. */
  queued: HookOperation | undefined;
  /** The hook that has failed. */
  failed: { readonly operation: HookOperation; tries: number } | undefined;
  readonly views: Map<number, RelationView>;
  readonly tasks: Task[];
  readonly commands: Command[];
  busy: boolean;
  /** What runs now. */
  context: HookContext | undefined;
  workload: { status: string; message: string };
  statusWasSet: boolean;
  workloadVersion: string;
  readonly state: Map<string, string>;
  /** The secrets that it has read: the revision that it sees, and the newest that it was told of. */
  readonly secrets: Map<string, { readonly pinned: number; readonly told: number }>;
  readonly log: LogLine[];
  /** The hooks and actions that ran, in their order, with their end. */
  readonly history: HistoryLine[];
}

export interface HistoryLine {
  readonly name: string;
  readonly remote: string | undefined;
  readonly departing: string | undefined;
  readonly end: 'done' | 'failed' | 'crashed' | 'skipped';
}

export interface HookOperation {
  readonly kind: 'hook';
  readonly name: string;
  readonly view?: RelationView;
  readonly remoteUnit?: UnitState | undefined;
  readonly departing?: string | undefined;
  /** The secret that a hook is about. */
  readonly secret?: SecretState;
  /** What the agent remembers when the hook has ended well. */
  done(): void;
  /** Whether it is still to be run when its turn comes. */
  isStale?(): boolean;
}

/** An action that somebody asked for. */
export interface Task {
  readonly kind: 'action';
  readonly id: string;
  readonly name: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly locks: readonly string[];
  /** Starts as soon as it can, without anybody who settles. */
  readonly eager: boolean;
  status: 'pending' | 'running' | 'completed' | 'failed' | 'aborted' | 'cancelled';
  readonly log: string[];
  result: ActionResult | undefined;
  readonly finished: Promise<ActionResult>;
  finish(result: ActionResult): void;
}

/** What `juju run` gives back. */
export interface ActionResult {
  readonly status: 'completed' | 'failed' | 'aborted' | 'cancelled';
  readonly message: string;
  /** With `return-code`, and what was printed as `stdout` and `stderr`. */
  readonly results: Readonly<Record<string, unknown>>;
  readonly log: readonly string[];
  /** Of `juju run`, which is not the action's. */
  readonly exitCode: number;
}

/** A command of `juju-exec`. */
interface Command {
  readonly kind: 'command';
  /** Starts as soon as it can, without anybody who settles. */
  readonly eager: boolean;
  run(unit: UnitState): Promise<void>;
}

/** Something that the agent does without starting the charm. */
interface SilentOperation {
  readonly kind: 'silent';
  apply(): void | Promise<void>;
}

export type Operation = HookOperation | Task | Command | SilentOperation;
