import type { Model } from '../juju/simulator/model.ts';
import type { SiteFace } from '../juju/site-face.ts';
import { makePostgresqlHost, type PostgresqlHost, type PostgresqlHostOptions } from '../site/postgresql-host.ts';
import { until } from '../setup/wait.ts';

export interface PrincipalsOptions {
  readonly database?: PostgresqlHostOptions;
  /** What the charm beside which ours lives does in each of its hooks; nothing unless it is said. */
  readonly onDatabaseHook?: (host: PostgresqlHost) => Promise<void>;
}

/** Charms that are not ours, on machines that are as theirs. */
export interface Principals {
  readonly databases: readonly PostgresqlHost[];
  readonly databaseUnits: readonly string[];
  readonly landscapeUnits: readonly string[];
}

/** Deploys PostgreSQL; gives back what lies on its machines when it is installed. */
export async function deployPrincipals(
  juju: Model,
  face: SiteFace,
  { database = {}, onDatabaseHook }: PrincipalsOptions,
): Promise<Principals> {
  const databases = new Map<string, PostgresqlHost>();
  const hook = async ({ name }: { readonly name: string }) => {
    const host = databases.get(name);
    if (host !== undefined) await onDatabaseHook?.(host);
  };
  const databaseUnits = juju.deployPrincipal('postgresql', {
    charm: {
      name: 'postgresql',
      onInstall: async ({ name }) => {
        const machine = await face.siteOf(juju.unit(name).machine);
        databases.set(name, await makePostgresqlHost(machine, { password: `password of ${juju.name}`, ...database }));
      },
      onConfigChanged: hook,
      onStart: hook,
      onUpdateStatus: hook,
      onRelation: hook,
    },
  });
  for (const unit of databaseUnits) await until(`${unit} is installed`, async () => juju.unit(unit).started, 60);
  return { databases: databaseUnits.flatMap((unit) => databases.get(unit) ?? []), databaseUnits, landscapeUnits: [] };
}
