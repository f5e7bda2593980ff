import type { RestorePlan, RestoreTarget } from '../core/restore-plan.ts';
import type { Site } from '../core/site.ts';
import type { Cluster } from '../postgres/cluster.ts';
import type { Repository } from '../repository/repository.ts';
import type { Clock } from '../system/clock.ts';
import type { UnitFolder } from '../system/home.ts';
import type { UnitIdentity } from '../system/unit-identity.ts';
import type { ReportProgress } from './job-progress.ts';

/** What a plan is made with. */
export interface PlanContext {
  /** The cluster on this machine that is overwritten. */
  readonly cluster: Cluster;
  readonly unit: UnitFolder;
  readonly repository: Repository;
  /** All units of the model; `undefined` without Juju. */
  readonly site?: { readonly site: Site; readonly identity: UnitIdentity } | undefined;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ReportProgress | undefined;
}

/** What an operator asks a restore for; what is left open is decided by the plan. */
export interface RestoreRequest {
  readonly target: RestoreTarget;
  readonly backup?: string | undefined;
  readonly timeline?: number | undefined;
  readonly incarnation?: number | undefined;
  /** Which cluster of the repository. */
  readonly systemIdentifier?: string | undefined;
  readonly inPlace: boolean;
  readonly discardOld: boolean;
  readonly takeOver: boolean;
  /** From a tablespace's old location, or its OID, to its new location. */
  readonly tablespaceMap: Readonly<Record<string, string>>;
  readonly credentials: RestorePlan['credentials'];
  /** Whose files a Landscape unit gets, where the operator says so: from unit to `<model>/<unit of then>`. */
  readonly filesFrom?: Readonly<Record<string, string>> | undefined;
}
