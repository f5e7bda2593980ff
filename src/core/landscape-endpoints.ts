import { effectiveValue, valuesOf, type ServiceConfiguration } from './service-configuration.ts';

/** Where a Landscape unit connects to: host names and ports, no secret. */
export interface Endpoints {
  readonly database: string | null;
  readonly broker: string | null;
  readonly packageSearch: string | null;
}

/** Reads the endpoints of a `service.conf`; `host:port` where both are given. */
export function readEndpoints(configuration: ServiceConfiguration): Endpoints {
  const values = valuesOf(configuration);
  const at = (section: string) => {
    const host = effectiveValue(values, `${section}.host`);
    const port = effectiveValue(values, `${section}.port`);
    if (host === undefined) return null;
    // Somebody may have written a whole address with a password in it.
    const shown = host.replace(/^[a-z+]+:\/\//i, '').replace(/^.*@/, '');
    return port === undefined || /:\d+$/.test(shown) ? shown : `${shown}:${port}`;
  };
  return { database: at('stores'), broker: at('broker'), packageSearch: at('package_search') };
}

const notDatabases = /^(user|password|host|port|.*_?user|.*_?password|ssl.*|isolation.*|threads)$/;

/** The names of the databases that a `service.conf` tells, each once. They differ between versions. */
export function readDatabases(configuration: ServiceConfiguration): readonly string[] {
  const names = new Set<string>();
  for (const [name, value] of valuesOf(configuration)) {
    const key = /^stores\.(.*)$/.exec(name)?.[1];
    if (key === undefined || notDatabases.test(key)) continue;
    const database = value.split('?')[0]?.trim() ?? '';
    if (/^[A-Za-z0-9_-]+$/.test(database)) names.add(database);
  }
  return [...names].sort();
}
