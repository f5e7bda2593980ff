import * as z from 'zod';
import { instantSchema } from './backup.ts';
import type { ClusterCatalogue, IncarnationCatalogue } from './catalogue.ts';
import { lsnSchema } from './lsn.ts';
import { pointWindows } from './point-window.ts';
import { backupFault } from './backup-fault.ts';

const placeInTimeSchema = z.object({ lsn: lsnSchema, at: instantSchema });

/** One incarnation in the list of what can be restored. */
const listedIncarnationSchema = z.object({
  incarnation: z.number(),
  /** False: it belongs to another owner, and is only read here. */
  isOwn: z.boolean(),
  owner: z.object({
    model: z.string(),
    modelName: z.string().optional(),
    application: z.string(),
    unit: z.string(),
    since: instantSchema,
  }),
  parent: z.object({ incarnation: z.number(), timeline: z.number(), lsn: lsnSchema }).nullable(),
  /** The newest time at which its owner is known to have written something. */
  lastSignOfLife: instantSchema,
  backups: z.array(
    z.object({
      id: z.string(),
      label: z.string(),
      timeline: z.number(),
      startedAt: instantSchema,
      stoppedAt: instantSchema,
      stopLsn: lsnSchema,
      plainBytes: z.number(),
      storedBytes: z.number(),
      withWal: z.boolean(),
      /** Why it should not be restored from; null when nothing speaks against it. */
      fault: z.string().nullable(),
    }),
  ),
  unfinished: z.array(z.object({ id: z.string(), storedBytes: z.number(), unreadable: z.string().nullable() })),
  windows: z.array(
    z.object({ timeline: z.number(), from: placeInTimeSchema, to: placeInTimeSchema, backups: z.array(z.string()) }),
  ),
  holes: z.array(
    z.object({
      timeline: z.number(),
      firstSegment: z.number(),
      lastSegment: z.number(),
      at: instantSchema,
      why: z.string(),
    }),
  ),
  restorePoints: z.array(z.object({ name: z.string(), timeline: z.number(), lsn: lsnSchema, at: instantSchema })),
});
export type ListedIncarnation = z.infer<typeof listedIncarnationSchema>;

/** What can be restored, cluster by cluster: the shape of `list-backups --format json`. */
export const backupListSchema = z.object({
  clusters: z.array(z.object({ systemIdentifier: z.string(), incarnations: z.array(listedIncarnationSchema) })),
});
export type BackupList = z.infer<typeof backupListSchema>;

/** Lists what can be restored. `own` says which incarnation is this unit's. */
export function listBackups(
  clusters: readonly ClusterCatalogue[],
  own: { readonly systemIdentifier: string; readonly incarnation: number } | undefined,
): BackupList {
  return {
    clusters: clusters.map((cluster) => ({
      systemIdentifier: cluster.systemIdentifier,
      incarnations: cluster.incarnations.map((incarnation) => {
        const isOwn = own?.systemIdentifier === cluster.systemIdentifier && own.incarnation === incarnation.number;
        return listIncarnation(cluster, incarnation, isOwn);
      }),
    })),
  };
}

function listIncarnation(
  cluster: ClusterCatalogue,
  incarnation: IncarnationCatalogue,
  isOwn: boolean,
): ListedIncarnation {
  const { model, modelName, application, unit, since, parent } = incarnation.owner;
  return {
    incarnation: incarnation.number,
    isOwn,
    owner: { model, modelName, application, unit, since },
    parent,
    lastSignOfLife: lastSignOfLife(incarnation),
    backups: incarnation.backups.map((backup) => ({
      id: backup.id,
      label: backup.label,
      timeline: backup.timeline,
      startedAt: backup.startedAt,
      stoppedAt: backup.stoppedAt,
      stopLsn: backup.stopLsn,
      plainBytes: backup.plainBytes,
      storedBytes: backup.storedBytes,
      withWal: backup.withWal,
      fault: backupFault(incarnation, backup.id) ?? null,
    })),
    unfinished: incarnation.unfinished.map((each) => ({ ...each, unreadable: each.unreadable ?? null })),
    windows: pointWindows(cluster, incarnation).map(({ timeline, from, to, backups }) => ({
      timeline,
      from,
      to,
      backups: [...backups],
    })),
    holes: incarnation.holes.map(({ timeline, firstSegment, lastSegment, at, why }) => ({
      timeline,
      firstSegment,
      lastSegment,
      at,
      why,
    })),
    restorePoints: incarnation.restorePoints.map(({ name, timeline, lsn, at }) => ({ name, timeline, lsn, at })),
  };
}

/** Of what the owner itself writes; a guest's lease is no sign of the owner. */
export function lastSignOfLife(incarnation: IncarnationCatalogue): Date {
  const signs = [
    incarnation.owner.since,
    ...incarnation.backups.map(({ stoppedAt }) => stoppedAt),
    ...incarnation.leases.flatMap(({ lease, isGuest }) => (lease === undefined || isGuest ? [] : [lease.at])),
    ...incarnation.restorePoints.map(({ at }) => at),
    ...incarnation.holes.map(({ at }) => at),
    ...(incarnation.witness === undefined ? [] : [incarnation.witness.at]),
  ];
  return signs.reduce((newest, each) => (each > newest ? each : newest));
}
