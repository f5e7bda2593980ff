import type { ClusterFacts } from '../core/cluster-facts.ts';
import type { Job } from '../core/job.ts';
import type { LandscapeUnitFacts } from '../core/landscape-facts.ts';
import type { Role, Site } from '../core/site.ts';
import type { UnitPlan } from '../core/unit-plan.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import type { Jobs } from '../system/jobs.ts';
import type { UnitIdentity } from '../system/unit-identity.ts';

/** What a unit's own machine says, asked anew in every hook. */
export interface LocalFacts {
  /** `undefined` where the unit has no PostgreSQL, or it could not be asked. */
  readonly cluster: ClusterFacts | undefined;
  readonly landscape: LandscapeUnitFacts | undefined;
  /** What could not be asked. */
  readonly trouble: { readonly message: string; readonly hint: string | null } | undefined;
  readonly jobs: readonly Job[];
}

/**
 * The machine below a unit, as hooks and actions see it: everything that is not Juju's. Real in production, a double where
 * thousands of stories are told.
 */
export interface UnitMachine {
  /**
   * Brings the programs of this version of the charm to the machine, and what systemd starts for these roles. May be repeated;
   * says what a person may want to know.
   */
  install(roles: readonly Role[]): Promise<readonly string[]>;
  /** Says to programs without Juju who this unit is, and has done what is due for its roles. */
  identify(identity: UnitIdentity): Promise<void>;
  /** Has the resident archiver of a cluster (`15/main`) run; with `undefined` none runs on this unit. May be repeated. */
  keepArchiver(label: string | undefined): Promise<void>;
  /** Takes everything of this unit away but the repository; says what stays and why. Never fails. */
  uninstall(): Promise<readonly string[]>;
  /** Puts back what was found in PostgreSQL, as far as it can within its bound; says what it could not do. Never fails. */
  leave(): Promise<readonly string[]>;
  /** The programs of this very version of the charm are there. */
  isInstalled(): Promise<boolean>;
  readSettings(): Promise<string | undefined>;
  writeSettings(text: string): Promise<void>;
  /** Keeps the options that are secrets for root and the cluster's owner only; tells whether any changed. */
  keepCredentials(values: Readonly<Record<string, string>>): Promise<boolean>;
  writeSite(site: Site): Promise<void>;
  look(roles: readonly Role[]): Promise<LocalFacts>;
  now(): Date;
  /** Lets a moment pass while a job is followed. */
  pause(milliseconds: number): Promise<void>;
  /** Keeps what this unit is to do with files in a restore, for its stage verbs. */
  keepShare(
    planId: string,
    share: { readonly files: UnitPlan; readonly credentials: RestorePlan['credentials'] },
  ): Promise<void>;
  readonly jobs: Jobs;
}
