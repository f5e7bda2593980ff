import type { Job } from './job.ts';
import { isPending } from './job.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import { inJujuWords, jujuRun, principalRun, type Addressee } from './juju-words.ts';
import type { FilesStatus } from './landscape-facts.ts';
import type { Role } from './site.ts';
import type { Intent, SiteStep } from './site-restore.ts';
import { formatBytes } from './words.ts';

/** What Juju shows of a unit. */
export interface UnitStatus {
  readonly status: 'active' | 'blocked' | 'maintenance' | 'waiting';
  readonly message: string;
}

/** How it is with the cluster, as `facts` tells it. */
type Health = NonNullable<ClusterFacts['health']>;

/** What somebody has to do something about, in words. */
interface Trouble {
  readonly message: string;
  readonly hint: string | null;
}

/** All that a unit's status is made of; facts, nothing remembered. */
export interface StatusFacts extends Addressee {
  readonly application: string;
  readonly roles: readonly Role[];
  /** Why the options can't be used; the last good ones are in force. */
  readonly invalid:
    { readonly message: string; readonly next: string; readonly status?: 'waiting' | undefined } | undefined;
  readonly destination: string | undefined;
  /** The application is joined to a repository. */
  readonly isJoined: boolean;
  /** The unit that `init` is to be run on. */
  readonly joiner: string | undefined;
  readonly restore:
    | {
        readonly intent: Intent;
        readonly step: SiteStep;
        /** Whom its next command is for: its planner, or where that is gone this unit. */
        readonly spokesman: string;
      }
    | undefined;
  /** What could not be asked of this machine at all. */
  readonly trouble: Trouble | undefined;
  /** The cluster beside this unit; `undefined` without one. */
  readonly health: Health | undefined;
  readonly isCopy: boolean;
  readonly files: FilesStatus | undefined;
  /** The charmed Landscape unit beside this one, while it is paused. */
  readonly paused: string | undefined;
  readonly jobs: readonly Job[];
}

/** One status of all facts: what a person must do first, then what is going on, then how it is. */
export function unitStatus(facts: StatusFacts): UnitStatus {
  return (
    aboutOptions(facts) ??
    aboutRestore(facts) ??
    aboutMachine(facts) ??
    aboutRepository(facts) ??
    aboutJobs(facts) ??
    aboutKeeping(facts)
  );
}

const say = (status: UnitStatus['status'], message: string, next?: string): UnitStatus => ({
  status,
  message: next === undefined ? message : `${message}. Next: ${next}`,
});

function aboutOptions({ application, jujuVersion, invalid, destination }: StatusFacts): UnitStatus | undefined {
  if (invalid !== undefined)
    return say(
      invalid.status ?? 'blocked',
      invalid.message,
      `${invalid.next}; until then the last good options are in force`,
    );
  if (destination !== undefined) return undefined;
  const integrate = jujuVersion.startsWith('2.') ? 'relate' : 'integrate';
  return say(
    'blocked',
    'the option destination is empty, nothing is kept',
    `juju config ${application} destination=/srv/backup (a directory that all units share), or juju ${integrate} ${application}:s3-parameters s3-integrator`,
  );
}

function aboutRestore(facts: StatusFacts): UnitStatus | undefined {
  if (facts.restore === undefined) return undefined;
  const { intent, step, spokesman } = facts.restore;
  const what = intent.kind === 'restore' ? `restore ${intent.planId}` : `giving up restore ${intent.planId}`;
  const planner = { ...facts, unit: spokesman };
  const goOn = jujuRun(planner, 'restore', `confirm=${intent.planId}`);
  const goBack = jujuRun(planner, 'abandon-restore', `confirm=${intent.planId}`);
  switch (step.is) {
    case 'not-mine':
      return undefined;
    case 'done':
      return aboutRestored(facts, intent);
    case 'begin':
      return say('maintenance', `${what}: ${step.stage} begins`);
    case 'running':
      return say('maintenance', `${what}: ${step.stage}${progressOf(facts)}`);
    case 'waiting':
      return say('maintenance', `${what}: ${step.stage} waits for ${step.for.join(', ')}`);
    case 'failed':
      return say(
        'blocked',
        `${what} stopped at ${step.stage} on ${step.of}: ${step.failure?.message ?? 'it did not say why'}`,
        intent.kind === 'restore'
          ? `${step.failure === null || step.failure.hint === null ? '' : `${inJujuWords(step.failure.hint, facts)} Then `}${goOn} goes on; ${goBack} goes back`
          : `${goBack} tries again`,
      );
    case 'lost':
      return say(
        'blocked',
        `${what} stopped: ${step.units.join(', ')} ${step.units.length === 1 ? 'is' : 'are'} gone`,
        afterLoss({
          intent,
          step,
          isOrphan: spokesman !== intent.planner,
          goBack,
          goOn: jujuRun(planner, 'restore', `without=${step.units.join(',')}`, `confirm=${intent.planId}`),
        }),
      );
  }
}

/** A restore is done as far as we go; what is left is the operator's. */
function aboutRestored({ paused, jujuVersion, roles, isJoined, ...facts }: StatusFacts, intent: Intent) {
  if (intent.kind !== 'restore') return undefined;
  if (paused !== undefined) {
    const resume = principalRun(jujuVersion, paused, 'resume');
    return say('blocked', `restored by plan ${intent.planId}, and Landscape is paused on ${paused}`, resume);
  }
  // The database's unit says what it is itself; the others have nothing of their own to decide.
  if (isJoined || roles.includes('postgresql') || facts.destination === undefined) return undefined;
  const next = jujuRun({ unit: intent.planner, jujuVersion }, 'take-over');
  return say('active', `restored by plan ${intent.planId}; its files are not kept before the take-over (${next})`);
}

interface Loss {
  readonly intent: Intent;
  readonly step: Extract<SiteStep, { is: 'lost' }>;
  readonly isOrphan: boolean;
  readonly goBack: string;
  readonly goOn: string;
}

function afterLoss({ intent, step, isOrphan, goBack, goOn }: Loss): string {
  if (intent.kind === 'abandon') return `${goBack} goes on without`;
  if (isOrphan) return `${goBack} puts back what the other units had; then make a new plan`;
  if (step.mayLeaveOut) return `${goOn} goes on without; ${goBack} goes back`;
  return `nothing was touched yet: ${goBack}; then make a new plan`;
}

function progressOf({ jobs }: StatusFacts): string {
  const step = jobs.find(isPending)?.progress;
  if (step === undefined) return '';
  const { phase, bytes, estimatedBytes, note } = step;
  if (bytes === undefined) return `: ${phase}${note === undefined ? '' : `, ${note}`}`;
  if (estimatedBytes === undefined || estimatedBytes === 0) return `: ${phase}, ${formatBytes(bytes)}`;
  return `: ${phase}, ${Math.min(100, Math.floor((100 * bytes) / estimatedBytes))} % of ${formatBytes(estimatedBytes)}`;
}

function aboutMachine(facts: StatusFacts): UnitStatus | undefined {
  const { trouble } = facts;
  if (trouble === undefined) return undefined;
  const next = trouble.hint === null ? undefined : inJujuWords(trouble.hint, facts);
  return say('blocked', trouble.message, next);
}

function aboutRepository(facts: StatusFacts): UnitStatus | undefined {
  const { isJoined, isCopy, joiner, destination } = facts;
  // A restored copy needs a decision about itself first, also where this application was never joined.
  if (isJoined || isCopy) return undefined;
  const init = jujuRun({ ...facts, unit: joiner ?? facts.unit }, 'init');
  return say(
    'blocked',
    `not joined to a repository at ${destination ?? ''}, nothing is kept`,
    `${init} creates or joins it; on a spare: ${jujuRun({ ...facts, unit: joiner ?? facts.unit }, 'restore')}`,
  );
}

/** What a person asked for and waits for; what the timer does every minute is no news. */
const quiet = new Set(['run-due', 'wake', 'configure', 'adopt-owner']);

function aboutJobs(facts: StatusFacts): UnitStatus | undefined {
  const job = facts.jobs.find((each) => isPending(each) && !quiet.has(each.verb));
  return job === undefined ? undefined : say('maintenance', `${job.verb}${progressOf({ ...facts, jobs: [job] })}`);
}

function aboutKeeping(facts: StatusFacts): UnitStatus {
  const said = [...(facts.health === undefined ? [] : [ofHealth(facts, facts.health)]), ...ofFiles(facts)];
  const [worst, ...others] = said.toSorted((a, b) => weight(b) - weight(a));
  if (worst === undefined) return say('waiting', 'neither PostgreSQL nor Landscape is related to this unit');
  const also = others.filter(({ status }) => status === worst.status).map(({ message }) => message);
  return { status: worst.status, message: [worst.message, ...also].join('; ') };
}

function weight({ status }: UnitStatus): number {
  return ['active', 'maintenance', 'waiting', 'blocked'].indexOf(status);
}

function ofHealth(to: StatusFacts, { level, text, next }: Pick<Health, 'level' | 'text' | 'next'>): UnitStatus {
  const status = level === 'ok' || level === 'attention' ? 'active' : 'blocked';
  return say(status, text, next === null ? undefined : inJujuWords(next, to).replace(/\.$/, ''));
}

function ofFiles(facts: StatusFacts): readonly UnitStatus[] {
  const { files } = facts;
  if (files === undefined) return [];
  const [second] = files.second.filter(({ level }) => level !== 'ok').map((each) => ofHealth(facts, each));
  return second === undefined || files.fenced ? ofSets(facts, files) : [...ofSets(facts, files), second];
}

function ofSets(facts: StatusFacts, files: FilesStatus): readonly UnitStatus[] {
  const { fenced, keptAt, count, missing, failure } = files;
  if (fenced)
    return [
      say(
        'blocked',
        "Landscape's services are fenced and no restore is under way",
        `juju ssh ${facts.unit} sudo landscape-backup unfence`,
      ),
    ];
  if (failure !== null) {
    const next = failure.hint === null ? undefined : inJujuWords(failure.hint, facts);
    return [say('blocked', `files: ${failure.message}`, next)];
  }
  if (keptAt === null) return [say('active', 'files: not kept yet; the schedule does it', jujuRun(facts, 'backup'))];
  const lacks = missing.length === 0 ? '' : `, missing: ${missing.join(', ')}`;
  return [say('active', `files: ${count} kept, unchanged since ${keptAt.toISOString()}${lacks}`)];
}
