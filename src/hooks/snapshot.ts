import { settingsFromConfig, type CharmSettings } from '../core/charm-settings.ts';
import { secretUris, type CharmConfig, type SecretAnswers } from '../core/juju-secrets.ts';
import { offeredSecrets, s3Endpoint, type S3Offer } from '../core/s3-relation.ts';
import { Secret } from '../core/secret.ts';
import type { Role } from '../core/site.ts';
import type { ApplicationBag, UnitBag } from '../core/unit-bag.ts';
import type { JujuEnvironment } from '../juju/environment.ts';
import type { HookTools } from '../juju/hook-tools.ts';
import { readSecrets } from './read-secrets.ts';
import { readApplicationBag, readUnitBag } from './bags.ts';
import type { LocalFacts, UnitMachine } from './unit-machine.ts';

/** Everything that a hook decides by, read once at its beginning. */
export interface Snapshot {
  readonly environment: JujuEnvironment;
  readonly config: CharmConfig;
  /** What the relation to an S3 store says; `undefined` without one, and while it goes. */
  readonly offer: S3Offer | undefined;
  /** What Juju said of the secrets that options and that relation name. */
  readonly secrets: SecretAnswers;
  readonly isLeader: boolean;
  readonly roles: readonly Role[];
  /** The peer relation's id; `undefined` before it is there and while it goes. */
  readonly peers: string | undefined;
  readonly application: ApplicationBag;
  readonly own: UnitBag;
  /** The other units that are there, with what they say. */
  readonly others: ReadonlyMap<string, UnitBag>;
  readonly local: LocalFacts;
}

/** Reads what Juju and the machine say. */
export async function readSnapshot(
  environment: JujuEnvironment,
  tools: HookTools,
  machine: UnitMachine,
): Promise<Snapshot> {
  const roles = await readRoles(tools);
  // Together: the machine takes longer to say what it is than Juju does.
  const [local, said] = await Promise.all([machine.look(roles), readJuju(environment, tools)]);
  return { environment, roles, local, ...said };
}

async function readJuju(
  environment: JujuEnvironment,
  tools: HookTools,
): Promise<Omit<Snapshot, 'environment' | 'roles' | 'local'>> {
  const config = await tools.configGet();
  const offer = await readOffer(tools);
  const [peers] = await tools.relationIds('peers');
  return {
    config,
    offer,
    secrets: await readSecrets(tools, [...secretUris(config, environment.version), ...offeredSecrets(offer)]),
    isLeader: await tools.isLeader(),
    peers,
    ...(await readPeers(environment, tools, peers)),
  };
}

/** What the options come to, for a unit that is joined to this repository. */
export function settingsOf(
  { environment, config, offer, secrets }: Snapshot,
  repositoryId: string | undefined,
): CharmSettings {
  const reader = { application: environment.application, jujuVersion: environment.version };
  return settingsFromConfig({ config, offer, secrets, reader, proxies: environment.proxies }, repositoryId);
}

/** The endpoints by which this unit is bound to its principal; a relation that is being broken no longer counts. */
export async function readRoles(tools: HookTools): Promise<readonly Role[]> {
  const roles: Role[] = [];
  for (const role of ['postgresql', 'landscape'] as const) {
    if ((await tools.relationIds(role)).length > 0) roles.push(role);
  }
  return roles;
}

/** What the other side of the relation to an S3 store says; in its first form it says the keys in the open. */
async function readOffer(tools: HookTools): Promise<S3Offer | undefined> {
  const [relation] = await tools.relationIds(s3Endpoint);
  const application = relation === undefined ? undefined : await tools.relationApplication(relation);
  if (relation === undefined || application === undefined) return undefined;
  const said = await tools.relationGet(relation, 'app', application);
  for (const field of ['access-key', 'secret-key']) void new Secret(said[field] ?? '');
  return { application, id: relation.slice(relation.indexOf(':') + 1), said };
}

async function readPeers(
  { unit, application }: JujuEnvironment,
  tools: HookTools,
  peers: string | undefined,
): Promise<Pick<Snapshot, 'application' | 'own' | 'others'>> {
  if (peers === undefined) return { application: {}, own: {}, others: new Map() };
  const others = new Map<string, UnitBag>();
  for (const other of await tools.relationUnits(peers)) {
    others.set(other, readUnitBag(await tools.relationGet(peers, 'unit', other)));
  }
  return {
    application: readApplicationBag(await tools.relationGet(peers, 'app', application)),
    own: readUnitBag(await tools.relationGet(peers, 'unit', unit)),
    others,
  };
}
