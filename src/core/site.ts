import * as z from 'zod';
import { instantSchema } from './backup.ts';

/** What a unit is there for: which of the charm's endpoints are related. */
const roleSchema = z.enum(['postgresql', 'landscape']);
export type Role = z.infer<typeof roleSchema>;

/** How Landscape was installed on a machine. */
const profileSchema = z.enum(['charmed', 'quickstart', 'manual']);

/** Where Landscape's services connect to, as host or host:port; null where `service.conf` does not say. */
const endpointsSchema = z.record(z.string(), z.string().nullable());

/** What a Landscape unit publishes of itself. Steady: what changes by the minute is asked when it is needed. No secret. */
export const publishedLandscapeSchema = z.object({
  profile: profileSchema,
  /** The version of the package landscape-server; null where it can't be told. */
  version: z.string().nullable(),
  endpoints: endpointsSchema,
  /** One word for all of them: a plan that was made for others no longer stands. */
  endpointsDigest: z.string().nullable(),
  /** Some service of Landscape runs or would be started by its principal. */
  running: z.boolean(),
  fenced: z.boolean(),
});
export type PublishedLandscape = z.infer<typeof publishedLandscapeSchema>;

/** What a PostgreSQL unit publishes of its cluster. */
const publishedClusterSchema = z.object({
  label: z.string(),
  major: z.string(),
  systemIdentifier: z.string().nullable(),
  inRecovery: z.boolean(),
});
/** What every unit says of itself in its own bag, in every hook. */
export const unitFactsSchema = z.object({
  format: z.literal(1),
  version: z.string(),
  principal: z.string().nullable(),
  roles: z.array(roleSchema),
  cluster: publishedClusterSchema.nullable(),
  landscape: publishedLandscapeSchema.nullable(),
});
export type UnitFacts = z.infer<typeof unitFactsSchema>;

/** `<home>/site.json`: all units as the charm last saw them. Programs without Juju plan by it; it holds no secret. */
export const siteSchema = z.object({
  format: z.literal(1),
  at: instantSchema,
  self: z.string(),
  units: z.array(z.object({ unit: z.string(), facts: unitFactsSchema.nullable() })),
});
export type Site = z.infer<typeof siteSchema>;
