import * as z from 'zod';
import { intentSchema, progressSchema } from './site-restore.ts';
import { unitFactsSchema } from './site.ts';

/** Which repository a unit is joined to. */
const chosenRepositorySchema = z.object({ id: z.string(), url: z.string() });
export type ChosenRepository = z.infer<typeof chosenRepositorySchema>;

/** By which name a cluster is owned; every unit of the application may go on under it. Not a secret. */
const sharedOwnerSchema = z.object({
  ownerId: z.string(),
  systemIdentifier: z.string(),
  incarnation: z.number().int().positive(),
});
export type SharedOwner = z.infer<typeof sharedOwnerSchema>;

/** What each unit says in its own bag of the peer relation, by name. */
export const unitBagSchemas = {
  facts: unitFactsSchema,
  repository: chosenRepositorySchema,
  owner: sharedOwnerSchema,
  'restore-intent': intentSchema,
  'restore-progress': progressSchema,
} as const;

/** What the leader keeps in the application's bag. */
export const applicationBagSchemas = {
  repository: chosenRepositorySchema,
  owner: sharedOwnerSchema,
  restore: intentSchema,
} as const;

/** A unit's bag as values; what is absent, or of another version, is left out. */
export interface UnitBag {
  readonly facts?: z.output<typeof unitFactsSchema> | undefined;
  readonly repository?: ChosenRepository | undefined;
  readonly owner?: SharedOwner | undefined;
  readonly intent?: z.output<typeof intentSchema> | undefined;
  readonly progress?: z.output<typeof progressSchema> | undefined;
}

/** The application's bag as values. */
export interface ApplicationBag {
  readonly repository?: ChosenRepository | undefined;
  readonly owner?: SharedOwner | undefined;
  readonly restore?: z.output<typeof intentSchema> | undefined;
}
