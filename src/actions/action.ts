import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { isPending, type Job } from '../core/job.ts';
import { stepTeller } from '../core/job-text.ts';
import { inJujuWords, jujuRun } from '../core/juju-words.ts';
import { identityForJob } from '../hooks/given-identity.ts';
import type { Snapshot } from '../hooks/snapshot.ts';
import type { UnitMachine } from '../hooks/unit-machine.ts';
import type { HookTools } from '../juju/hook-tools.ts';

/** What `actions.yaml` admits, by its name there. */
export type Params = Readonly<Record<string, string | number | boolean>>;

/** What an action is called with. */
export interface ActionCall {
  readonly tools: HookTools;
  readonly machine: UnitMachine;
  readonly snapshot: Snapshot;
  readonly params: Params;
}

/** What an action tells who called it: text for people, JSON for programs. */
export interface ActionResult {
  readonly text: string;
  readonly json: unknown;
  /** It did its work, and what it found is bad: the action counts as failed with this sentence. */
  readonly failed?: string | undefined;
}

/** One entry of `actions.yaml`. It fails with a `Failure`, whose message and hint the caller is told. */
export interface Action {
  readonly name: string;
  run(call: ActionCall): Promise<ActionResult>;
}

/** `juju run` gives up at 60 s: what follows a job longer is not heard. */
const longestWaitSeconds = 50;
const pollMs = 300;

/** Several results told as one. */
export function joined(results: readonly ActionResult[]): ActionResult {
  return {
    text: results.map(({ text }) => text.trimEnd()).join('\n\n'),
    json: results.map(({ json }) => json),
    failed: results.find(({ failed }) => failed !== undefined)?.failed,
  };
}

const toldSchema = z.object({ text: z.string(), json: z.unknown() });

/**
 * Starts a job and follows it for as long as the caller wants, at most 50 s. One that takes longer goes on by itself; the
 * result then names it and the next command.
 */
export async function followJob(call: ActionCall, argv: readonly string[]): Promise<ActionResult> {
  return await follow(call, await call.machine.jobs.start(argv));
}

/** The same for a verb that takes `--identity-file`: it is given what the parameter `identity` names. */
export async function followOpening(call: ActionCall, argv: readonly string[]): Promise<ActionResult> {
  const { tools, machine, snapshot } = call;
  const given = await identityForJob(tools, snapshot.environment, givenIdentity(call));
  return await follow(call, await machine.jobs.start([...argv, ...given.argv], { input: given.input }));
}

/** The parameter `identity`; empty where it was not given. */
export function givenIdentity({ params }: ActionCall): string {
  return z.string().catch('').parse(params['identity']);
}

/** Follows a job that runs already. */
async function follow(call: ActionCall, id: string): Promise<ActionResult> {
  const { machine, tools, params } = call;
  const wait = z.number().catch(longestWaitSeconds).parse(params['wait']);
  const until = performance.now() + Math.min(wait, longestWaitSeconds) * 1000;
  const tell = stepTeller();
  for (;;) {
    const job = await machine.jobs.look(id);
    if (job === undefined) throw new Failure('internal', `the job ${id} is not known any more`);
    if (!isPending(job)) return ended(call, job);
    const line = job.progress === undefined ? undefined : tell(job.progress, performance.now());
    if (line !== undefined) await tools.actionLog(line);
    if (performance.now() >= until) return goesOn(call, job);
    await machine.pause(pollMs);
  }
}

function ended({ snapshot }: ActionCall, job: Job): ActionResult {
  const told = toldSchema.safeParse(job.result);
  // A verb that did its work and found something bad says so in its text; it has no failure of its own.
  if (told.success && job.failure === undefined) {
    return {
      text: inJujuWords(told.data.text, addresseeOf(snapshot)),
      json: told.data.json,
      failed: job.state === 'succeeded' ? undefined : `${job.verb} found something that needs you: see the result`,
    };
  }
  const { kind, message, hint } = job.failure ?? {
    kind: 'internal',
    message: `the job ${job.id} said nothing`,
    hint: null,
  };
  throw new Failure(kind, message, { hint: hint ?? undefined });
}

function goesOn({ snapshot }: ActionCall, { id, verb }: Job): ActionResult {
  const next = jujuRun(addresseeOf(snapshot), 'status');
  return {
    text: `${verb} goes on as job ${id}\n  next: ${next} tells how far it is; juju status shows it too`,
    json: { job: id, state: 'running' },
  };
}

/** Whom the caller talks to, for the commands in what he is told. */
export function addresseeOf({ environment }: Snapshot): { readonly unit: string; readonly jujuVersion: string } {
  return { unit: environment.unit, jujuVersion: environment.version };
}

/** The unit that has the database, for what can be done there only. Fails with `refused` on any other, and names it. */
export function needDatabase({ snapshot }: ActionCall, action: string, ...params: readonly string[]): void {
  if (snapshot.roles.includes('postgresql')) return;
  const [there] = databaseUnits(snapshot);
  throw new Failure('refused', `${snapshot.environment.unit} has no database beside it`, {
    hint:
      there === undefined
        ? 'Relate the application to PostgreSQL first: juju integrate landscape-backup:postgresql postgresql'
        : jujuRun({ ...addresseeOf(snapshot), unit: there }, action, ...params),
  });
}

/** The other units that have a database beside them; the primary's first. */
export function databaseUnits({ others }: Snapshot): readonly string[] {
  return [...others]
    .filter(([, { facts }]) => facts?.roles.includes('postgresql') === true)
    .sort(
      ([a, x], [b, y]) => rank(x.facts?.cluster?.inRecovery) - rank(y.facts?.cluster?.inRecovery) || (a < b ? -1 : 1),
    )
    .map(([unit]) => unit);
}

function rank(inRecovery: boolean | undefined): number {
  return inRecovery === false ? 0 : 1;
}

/** `--name=value` for each parameter that was given; a flag that is false is left out. */
export function optionsOf(params: Params, ...names: readonly string[]): readonly string[] {
  return names.flatMap((name) => {
    const value = params[name];
    if (value === undefined || value === false || value === '') return [];
    return value === true ? [`--${name}`] : [`--${name}=${String(value)}`];
  });
}
