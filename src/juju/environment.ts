import * as z from 'zod';
import { Failure } from '../core/failure.ts';

/** What Juju says when it starts a charm. */
export interface JujuEnvironment {
  /** Such as `landscape-backup/0`. */
  readonly unit: string;
  readonly application: string;
  readonly model: { readonly uuid: string; readonly name: string };
  readonly machineId: string;
  /** The unit beside which a subordinate lives; `undefined` for a principal. */
  readonly principal: string | undefined;
  readonly charmDirectory: string;
  /** Juju's own version, such as `3.6.27`. */
  readonly version: string;
  readonly proxies: Proxies;
  readonly event: JujuEvent;
}

/** The model's proxies for charms; `undefined` where none is set. */
interface Proxies {
  readonly http: string | undefined;
  readonly https: string | undefined;
  readonly ftp: string | undefined;
  readonly no: string | undefined;
}

/** Why the charm was started. */
export type JujuEvent =
  | {
      readonly kind: 'hook';
      /** Such as `config-changed` or `peers-relation-changed`, or a name of our own under `juju-exec`. */
      readonly name: string;
      /** Only for events of a relation. */
      readonly relation?: RelationEvent;
    }
  | { readonly kind: 'action'; readonly name: string; readonly id: string };

/** The relation that an event is about. */
interface RelationEvent {
  readonly endpoint: string;
  /** Such as `peers:3`. */
  readonly id: string;
  /** `undefined` in -created, in -broken, and in -changed where the application's data has changed. */
  readonly remoteUnit: string | undefined;
  readonly remoteApplication: string | undefined;
  /** Who leaves, in -departed; our own unit where it is ours that goes. */
  readonly departing: string | undefined;
}

/** Juju sets many variables to an empty text where there is nothing to say. */
const optional = z
  .string()
  .optional()
  .transform((text) => (text === '' ? undefined : text));

const required = z.string().min(1);

const schema = z.object({
  JUJU_UNIT_NAME: z.string().regex(/^[^/]+\/\d+$/),
  JUJU_MODEL_UUID: required,
  JUJU_MODEL_NAME: required,
  JUJU_MACHINE_ID: required,
  JUJU_PRINCIPAL_UNIT: optional,
  JUJU_CHARM_DIR: required,
  JUJU_VERSION: required,
  // JUJU_HOOK_NAME is empty in actions and under juju-exec; the path always says it.
  JUJU_DISPATCH_PATH: z.string().regex(/^(hooks|actions)\/[^/]+$/),
  JUJU_ACTION_UUID: optional,
  JUJU_RELATION: optional,
  JUJU_RELATION_ID: optional,
  JUJU_REMOTE_UNIT: optional,
  JUJU_REMOTE_APP: optional,
  JUJU_DEPARTING_UNIT: optional,
  JUJU_CHARM_HTTP_PROXY: optional,
  JUJU_CHARM_HTTPS_PROXY: optional,
  JUJU_CHARM_FTP_PROXY: optional,
  JUJU_CHARM_NO_PROXY: optional,
});

/** Reads what Juju said from the variables of the environment; one that lacks or is strange is a `usage` failure. */
export function parseEnvironment(variables: Readonly<Record<string, string | undefined>>): JujuEnvironment {
  const read = schema.safeParse(variables);
  if (!read.success) {
    const names = [...new Set(read.error.issues.map((issue) => String(issue.path[0])))];
    throw notFromJuju(`${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} not what Juju sets`);
  }
  const said = read.data;
  return {
    unit: said.JUJU_UNIT_NAME,
    application: said.JUJU_UNIT_NAME.slice(0, said.JUJU_UNIT_NAME.indexOf('/')),
    model: { uuid: said.JUJU_MODEL_UUID, name: said.JUJU_MODEL_NAME },
    machineId: said.JUJU_MACHINE_ID,
    principal: said.JUJU_PRINCIPAL_UNIT,
    charmDirectory: said.JUJU_CHARM_DIR,
    version: said.JUJU_VERSION,
    proxies: {
      http: said.JUJU_CHARM_HTTP_PROXY,
      https: said.JUJU_CHARM_HTTPS_PROXY,
      ftp: said.JUJU_CHARM_FTP_PROXY,
      no: said.JUJU_CHARM_NO_PROXY,
    },
    event: eventOf(said),
  };
}

type Said = z.infer<typeof schema>;

function eventOf(said: Said): JujuEvent {
  const [kind = '', name = ''] = said.JUJU_DISPATCH_PATH.split('/');
  if (kind === 'actions') {
    if (said.JUJU_ACTION_UUID === undefined) throw notFromJuju('JUJU_ACTION_UUID is not what Juju sets');
    return { kind: 'action', name, id: said.JUJU_ACTION_UUID };
  }
  if (said.JUJU_RELATION === undefined || said.JUJU_RELATION_ID === undefined) return { kind: 'hook', name };
  const relation = {
    endpoint: said.JUJU_RELATION,
    id: said.JUJU_RELATION_ID,
    remoteUnit: said.JUJU_REMOTE_UNIT,
    remoteApplication: said.JUJU_REMOTE_APP,
    departing: said.JUJU_DEPARTING_UNIT,
  };
  return { kind: 'hook', name, relation };
}

function notFromJuju(what: string): Failure {
  return new Failure('usage', `this program is started by Juju, but ${what}`, {
    hint: 'Type landscape-backup for the command that people use.',
  });
}
