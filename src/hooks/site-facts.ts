import type { Site, UnitFacts } from '../core/site.ts';
import { version } from '../core/version.ts';
import type { UnitIdentity } from '../system/unit-identity.ts';
import type { Snapshot } from './snapshot.ts';

/** What this unit says of itself to the others: steady facts only, so that saying them again wakes nobody. */
export function publishedFacts({ environment, roles, local }: Snapshot): UnitFacts {
  const cluster = local.cluster?.cluster ?? null;
  const { landscape } = local;
  return {
    format: 1,
    version,
    principal: environment.principal ?? null,
    roles: [...roles],
    cluster:
      cluster === null
        ? null
        : {
            label: cluster.label,
            major: cluster.major,
            systemIdentifier: cluster.systemIdentifier,
            inRecovery: cluster.inRecovery === true,
          },
    landscape: landscape?.published ?? null,
  };
}

/** All units as this one sees them now. */
export function siteOf({ environment, others }: Snapshot, own: UnitFacts, at: Date): Site {
  const units = [...others].map(([unit, bag]) => ({ unit, facts: bag.facts ?? null }));
  const all = [{ unit: environment.unit, facts: own }, ...units];
  return { format: 1, at, self: environment.unit, units: all.sort((a, b) => (a.unit < b.unit ? -1 : 1)) };
}

/** Who this unit is, for programs that Juju does not start. */
export function identityOf({ environment, roles }: Pick<Snapshot, 'environment' | 'roles'>): UnitIdentity {
  return {
    format: 1,
    model: { ...environment.model },
    application: environment.application,
    unit: environment.unit,
    principal: environment.principal ?? null,
    roles: [...roles],
    charmDirectory: environment.charmDirectory,
    jujuVersion: environment.version,
  };
}
