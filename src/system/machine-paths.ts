import { join } from 'node:path';
import { unitSlug } from './unit-identity.ts';

/** The directories of a machine into which something of ours is installed. */
export interface MachinePaths {
  /** Where runtimes lie, one folder for each unit. */
  readonly runtimes: string;
  /** Where administrators' systemd units lie. */
  readonly systemdUnits: string;
  /** There where systemd runs the machine. */
  readonly systemdRuns: string;
  /** Where root finds commands. */
  readonly commands: string;
  /** Where local state lives, one home for each unit. */
  readonly homes: string;
}

/** Those of the machine that this program runs on. */
export const machinePaths: MachinePaths = {
  runtimes: '/opt/landscape-backup',
  systemdUnits: '/etc/systemd/system',
  systemdRuns: '/run/systemd/system',
  commands: '/usr/local/bin',
  homes: '/var/lib/landscape-backup',
};

/** Everything of ours on a machine that belongs to one unit. */
export interface UnitPlaces {
  readonly home: string;
  /** The folder of its runtimes. */
  readonly versions: string;
  /** The link to the runtime in force: what PostgreSQL and systemd are told. */
  readonly runtime: string;
  /** The template of its jobs, without `@` and what follows: `landscape-backup-landscape-backup-0-job`. */
  readonly jobTemplate: string;
  /** What its timer is called, without its ending. */
  readonly due: string;
  /** What the service of its resident archiver is called, without its ending. */
  readonly archiver: string;
  /** There while systemd has not read that service's file since it changed. */
  readonly archiverUnread: string;
}

/** Where the parts of a unit (`landscape-backup/0`) lie. */
export function placesOf(paths: MachinePaths, unit: string): UnitPlaces {
  const slug = unitSlug(unit);
  return {
    home: join(paths.homes, slug),
    versions: join(paths.runtimes, slug, 'versions'),
    runtime: join(paths.runtimes, slug, 'runtime'),
    jobTemplate: `landscape-backup-${slug}-job`,
    due: `landscape-backup-${slug}-due`,
    archiver: `landscape-backup-${slug}-archiver`,
    archiverUnread: join(paths.runtimes, slug, 'archiver-unread'),
  };
}
