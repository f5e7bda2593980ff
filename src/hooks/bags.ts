import { applicationBagSchemas, unitBagSchemas } from '../core/unit-bag.ts';
import type { ApplicationBag, UnitBag } from '../core/unit-bag.ts';
import { field } from '../juju/databag.ts';
import type { RelationData } from '../juju/hook-tools.ts';

/** The names in a unit's own bag of the peer relation. */
export const unitFields = {
  facts: field('facts', unitBagSchemas.facts),
  repository: field('repository', unitBagSchemas.repository),
  owner: field('owner', unitBagSchemas.owner),
  intent: field('restore-intent', unitBagSchemas['restore-intent']),
  progress: field('restore-progress', unitBagSchemas['restore-progress']),
} as const;

/** The names in the application's bag, which the leader writes. */
export const applicationFields = {
  repository: field('repository', applicationBagSchemas.repository),
  owner: field('owner', applicationBagSchemas.owner),
  restore: field('restore', applicationBagSchemas.restore),
} as const;

/** A unit's bag as values. */
export function readUnitBag(bag: RelationData): UnitBag {
  return {
    facts: unitFields.facts.value(bag),
    repository: unitFields.repository.value(bag),
    owner: unitFields.owner.value(bag),
    intent: unitFields.intent.value(bag),
    progress: unitFields.progress.value(bag),
  };
}

/** The application's bag as values. */
export function readApplicationBag(bag: RelationData): ApplicationBag {
  return {
    repository: applicationFields.repository.value(bag),
    owner: applicationFields.owner.value(bag),
    restore: applicationFields.restore.value(bag),
  };
}
