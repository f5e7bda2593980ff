import type { Model } from '../juju/simulator/model.ts';
import type { SiteFace } from '../juju/site-face.ts';
import type { LandscapeProfile } from '../site/landscape-files.ts';
import { landscapeActions, landscapeHooks, makeLandscapeHost, type LandscapeHost } from '../site/landscape-host.ts';
import type { SiteMachine } from '../site/machine.ts';
import { makePostgresqlHost, type PostgresqlHost, type PostgresqlHostOptions } from '../site/postgresql-host.ts';
import { until } from '../setup/wait.ts';

export interface PrincipalsOptions {
  readonly database?: PostgresqlHostOptions;
  /** What the charm of PostgreSQL does in each of its hooks; nothing unless it is said. */
  readonly onDatabaseHook?: (host: PostgresqlHost) => Promise<void>;
  /** Units of Landscape Server; none unless it is said. */
  readonly landscape?: number;
  readonly profile?: LandscapeProfile;
}

/** Charms that are not ours, on machines that are as theirs. */
export interface Principals {
  readonly databases: readonly PostgresqlHost[];
  readonly databaseUnits: readonly string[];
  readonly landscapes: readonly LandscapeHost[];
  readonly landscapeUnits: readonly string[];
}

/** Deploys PostgreSQL, and Landscape Server that uses it; gives back what lies on their machines when they are installed. */
export async function deployPrincipals(juju: Model, face: SiteFace, options: PrincipalsOptions): Promise<Principals> {
  const machineOf = async (unit: string) => await face.siteOf(juju.unit(unit).machine);
  const databases = await deployDatabase(juju, machineOf, options);
  const [database] = databases.values();
  const landscapes =
    database === undefined || (options.landscape ?? 0) === 0
      ? new Map<string, LandscapeHost>()
      : await deployLandscape(juju, machineOf, options, database);
  return {
    databases: [...databases.values()],
    databaseUnits: [...databases.keys()],
    landscapes: [...landscapes.values()],
    landscapeUnits: [...landscapes.keys()],
  };
}

type MachineOf = (unit: string) => Promise<SiteMachine>;

async function deployDatabase(
  juju: Model,
  machineOf: MachineOf,
  { database = {}, onDatabaseHook }: PrincipalsOptions,
): Promise<ReadonlyMap<string, PostgresqlHost>> {
  const hosts = new Map<string, PostgresqlHost>();
  const hook = async ({ name }: { readonly name: string }) => {
    const host = hosts.get(name);
    if (host !== undefined) await onDatabaseHook?.(host);
  };
  const units = juju.deployPrincipal('postgresql', {
    charm: {
      name: 'postgresql',
      onInstall: async ({ name }) => {
        const password = `password of ${juju.name}`;
        const host = await makePostgresqlHost(await machineOf(name), { password, ...database });
        await host.sql(`create role "relation-9" login superuser password 'schema password of ${juju.name}'`);
        await host.sql('grant select on all tables in schema public to landscape', 'landscape-standalone-main');
        hosts.set(name, host);
      },
      onConfigChanged: hook,
      onStart: hook,
      onUpdateStatus: hook,
      onRelation: hook,
    },
  });
  await installed(juju, units);
  return hosts;
}

async function deployLandscape(
  juju: Model,
  machineOf: MachineOf,
  { landscape = 0, profile = 'charmed' }: PrincipalsOptions,
  database: PostgresqlHost,
): Promise<ReadonlyMap<string, LandscapeHost>> {
  const hosts = new Map<string, LandscapeHost>();
  const serverUuid = await database.sql('select uuid from server_identity', 'landscape-standalone-main');
  const hook = (name: keyof typeof landscapeHooks) => async (unit: { readonly name: string }) => {
    if (profile === 'charmed' && hosts.has(unit.name)) await landscapeHooks[name](await machineOf(unit.name));
  };
  const action = (name: keyof typeof landscapeActions) => async (unit: { readonly name: string }) => {
    await landscapeActions[name](await machineOf(unit.name));
    return {};
  };
  const { storesHost, password: storesPassword } = database;
  const units = juju.deployPrincipal('landscape-server', {
    units: landscape,
    charm: {
      name: 'landscape-server',
      onInstall: async ({ name }) => {
        const given = { site: juju.name, profile, storesHost, storesPassword, serverUuid };
        hosts.set(name, await makeLandscapeHost(await machineOf(name), given));
      },
      onConfigChanged: hook('config-changed'),
      onRelation: hook('replicas-relation-changed'),
      onUpdateStatus: hook('update-status'),
      actions: {
        pause: action('pause'),
        resume: action('resume'),
        'hash-id-databases': action('hash-id-databases'),
      },
    },
  });
  await installed(juju, units);
  return hosts;
}

async function installed(juju: Model, units: readonly string[]): Promise<void> {
  for (const unit of units) await until(`${unit} is installed`, async () => juju.unit(unit).started, 90);
}
