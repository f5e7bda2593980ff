/** A value of the charm's options, of the type that `config.yaml` gives it. */
export type ConfigValue = string | number | boolean;

/** A bag of a relation: texts by name. */
export type RelationData = Readonly<Record<string, string>>;

/** Each relation has one bag per unit and one per application. */
export type Bag = 'unit' | 'app';

/** What a charm may say about its unit. */
type Status = 'maintenance' | 'blocked' | 'waiting' | 'active';

/** How loud a line of the unit's log is. */
export type LogLevel = 'TRACE' | 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR' | 'CRITICAL';

/**
 * Juju's hook tools, one method each. They answer only while Juju runs a hook or an action, and fail with `machine`.
 *
 * `relationSet` takes effect when the hook ends well and is dropped otherwise; all that is said (status, version, logs) takes
 * effect at once; `actionSet` and `actionFail` whatever the end, save that Juju forgets the message when the exit code isn't 0.
 */
export interface HookTools {
  /** The options that have a value. */
  configGet(): Promise<Readonly<Record<string, ConfigValue>>>;
  /** The relations of an endpoint, such as `peers:3`, without one that is being broken. */
  relationIds(endpoint: string): Promise<readonly string[]>;
  /** The other side's units, never ourselves; those who are in scope. */
  relationUnits(id: string): Promise<readonly string[]>;
  relationApplication(id: string): Promise<string | undefined>;
  /**
   * A bag of a unit or an application (`member`), our own included. What we wrote in this hook is in it.
   *
   * Our own application's bag is readable by the leader only, but for that of the peer relation: anyone else fails.
   */
  relationGet(id: string, bag: Bag, member: string): Promise<RelationData>;
  /** Writes into our own bag; an empty text deletes. The application's bag is the leader's: anyone else fails. */
  relationSet(id: string, bag: Bag, data: RelationData): Promise<void>;
  /**
   * The newest contents of a secret, values by key; from now on this revision is the one that we follow, and `secret-changed`
   * tells of the next. Fails with what Juju says where it is not granted, not there or not to be had.
   */
  secretGet(uri: string): Promise<RelationData>;
  /** Whether we lead our application, and will for at least 30 seconds. Unknown means no. */
  isLeader(): Promise<boolean>;
  statusSet(status: Status, message: string): Promise<void>;
  applicationVersionSet(version: string): Promise<void>;
  /** The parameters of the action, with the defaults of `actions.yaml`. */
  actionGet(): Promise<Readonly<Record<string, unknown>>>;
  /** Adds results of the action. Names are lower case with hyphens; a dot makes a map of it. Keep them small. */
  actionSet(results: Readonly<Record<string, string>>): Promise<void>;
  actionFail(message: string): Promise<void>;
  /** Says a line to who waits for the action. */
  actionLog(message: string): Promise<void>;
  /** Adds a line to the unit's log. */
  log(level: LogLevel, message: string): Promise<void>;
}
