import type { Job } from './job.ts';
import { isPending } from './job.ts';
import type { Intent, Progress, SiteStage } from './site-restore.ts';
import { hasWork } from './site-restore.ts';
import type { Role } from './site.ts';

/** The verb and arguments of a stage on a unit of a role; both roles on one unit do theirs one after the other. */
const verbs: Readonly<Record<Role, Readonly<Partial<Record<SiteStage, (id: string) => readonly string[]>>>>> = {
  postgresql: {
    check: (id) => ['restore', '--check', `--confirm=${id}`],
    database: (id) => ['restore', '--other-units-stopped', `--confirm=${id}`],
    'abandon-database': (id) => ['abandon-restore', '--if-begun', `--confirm=${id}`],
  },
  landscape: {
    check: (id) => ['landscape-check', '--plan', id],
    quiesce: (id) => ['quiesce', '--plan', id],
    files: (id) => ['restore-files', '--plan', id],
    verify: (id) => ['verify-files', '--plan', id],
    resume: (id) => ['resume', '--plan', id],
    'abandon-files': (id) => ['abandon-files', '--plan', id],
  },
};

/**
 * A job of a stage: its id is made of the run, plan, stage and attempt, so that a hook that is run again starts nothing twice.
 * The plan too: a confirm whose word was lost with its hook may have started a job, and the next one has the same number.
 */
export interface StageJob {
  readonly id: string;
  /** The same work in earlier attempts. */
  readonly earlier: readonly string[];
  readonly argv: readonly string[];
  /** It opens what the repository holds, and takes what is needed for that. */
  readonly opens: boolean;
}

/** The stages that read what is stored. */
const opening: readonly SiteStage[] = ['check', 'database', 'files'];

/** How the ids of all jobs of one run begin. */
export function stageJobPrefix({ kind, run, planId }: Intent): string {
  return `${kind}-${run}-${planId}-`;
}

/** The jobs of a stage on a unit with these roles, in their order. */
export function stageJobs(intent: Intent, stage: SiteStage, roles: readonly Role[]): readonly StageJob[] {
  return (['postgresql', 'landscape'] as const).flatMap((role) => {
    const argv = verbs[role][stage]?.(intent.planId);
    if (argv === undefined || !roles.includes(role) || !hasWork(stage, [role])) return [];
    const idOf = (attempt: number) => `${stageJobPrefix(intent)}${stage}-${attempt}-${role}`;
    const earlier = Array.from({ length: intent.attempt - 1 }, (_, index) => idOf(index + 1));
    return [{ id: idOf(intent.attempt), earlier, argv, opens: opening.includes(stage) }];
  });
}

/** What the jobs of a stage come to, by all jobs that are known here, and which of them is to be started next. */
export function stageProgress(
  intent: Intent,
  stage: SiteStage,
  { wanted, known }: { readonly wanted: readonly StageJob[]; readonly known: readonly Job[] },
): { readonly progress: Progress; readonly start: StageJob | undefined } {
  const common = { run: intent.run, kind: intent.kind, attempt: intent.attempt, stage, failure: null };
  for (const each of wanted) {
    const job = known.find(({ id }) => id === each.id) ?? goodBefore(each, known);
    if (job === undefined) return { progress: { ...common, state: 'running' }, start: each };
    if (isPending(job)) return { progress: { ...common, state: 'running' }, start: undefined };
    if (job.state === 'succeeded') continue;
    const { message, hint } = job.failure ?? { message: `the job ${job.id} failed without saying why`, hint: null };
    return { progress: { ...common, state: 'failed', failure: { message, hint } }, start: undefined };
  }
  return { progress: { ...common, state: 'finished' }, start: undefined };
}

/** A new attempt is for what failed: what still runs, or was done, elsewhere is neither stopped nor done again. */
function goodBefore({ earlier }: StageJob, known: readonly Job[]): Job | undefined {
  return known.find((job) => earlier.includes(job.id) && (isPending(job) || job.state === 'succeeded'));
}
