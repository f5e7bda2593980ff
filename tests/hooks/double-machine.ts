import { factsWithout, type ClusterFacts } from '../../src/core/cluster-facts.ts';
import { isPending, type Job } from '../../src/core/job.ts';
import type { LandscapeUnitFacts } from '../../src/core/landscape-facts.ts';
import type { Role, Site } from '../../src/core/site.ts';
import type { LocalFacts, UnitMachine } from '../../src/hooks/unit-machine.ts';
import { Failure } from '../../src/core/failure.ts';
import type { UnitIdentity } from '../../src/system/unit-identity.ts';

/** What a verb does on a double: its JSON and text, or how it fails. */
export type Verb = (
  argv: readonly string[],
  machine: DoubleMachine,
) => { readonly text: string; readonly json: unknown };

/** Who watches what jobs really do, whatever is said of it. */
export interface Observer {
  started(machine: DoubleMachine, job: Job): void;
  ended(machine: DoubleMachine, job: Job, worked: boolean): void;
}

/** As many jobs that have ended are remembered on a real machine. */
const keptJobs = 20;

/** A machine in memory: what stories look at and what they may change. It outlives hooks, as a disk does. */
export class DoubleMachine {
  readonly unit: string;
  now = new Date('2026-11-25T00:00:00Z');
  installed: readonly Role[] | undefined;
  identity: UnitIdentity | undefined;
  settings: string | undefined;
  credentials: Readonly<Record<string, string>> = {};
  site: Site | undefined;
  /** How often what was found in PostgreSQL was put back. */
  left = 0;
  uninstalled = false;
  /** Of which version of the charm its programs are, and which one lies in the charm's directory. */
  readonly version = { installed: 0, charm: 0 };
  /** The cluster whose resident archiver runs here. */
  archiver: string | undefined;
  /** PostgreSQL calls our program for every segment. */
  archives = false;
  /** What is in the way on this machine. */
  readonly faults: { install?: Error; leave?: string; stop?: Error; hangs?: boolean } = {};
  cluster: ClusterFacts = factsWithout('none', null, null);
  landscape: LandscapeUnitFacts | undefined;
  trouble: LocalFacts['trouble'];
  readonly shares = new Map<string, unknown>();
  readonly jobs: Job[] = [];
  /** What jobs were given to read, by their ids. */
  readonly inputs = new Map<string, string>();
  #number = 0;
  readonly verbs: Readonly<Record<string, Verb>>;
  readonly observer: Observer | undefined;
  /** What comes over a job while an action follows it; it ends well unless a story says otherwise. */
  passTime: (job: Job) => void = ({ id }) => {
    this.finish(id);
  };

  constructor(unit: string, verbs: Readonly<Record<string, Verb>>, observer?: Observer) {
    this.unit = unit;
    this.verbs = verbs;
    this.observer = observer;
  }

  /** The jobs that run now. */
  get pending(): readonly Job[] {
    return this.jobs.filter(isPending);
  }

  /** Ends a job that runs, by doing what its verb does here; a verb that throws fails it. */
  finish(id: string): void {
    this.#end(id, (job) => {
      try {
        return { ...job, state: 'succeeded', exitCode: 0, endedAt: this.now, result: this.#work(job) };
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        const failure = { kind: error.kind, message: error.message, hint: error.hint ?? null };
        return { ...job, state: 'failed', exitCode: 1, endedAt: this.now, failure };
      }
    });
  }

  /** Fails a job that runs before its work is done. */
  fail(id: string, message: string): void {
    const failure = { kind: 'machine' as const, message, hint: null };
    this.#end(id, (job) => ({ ...job, state: 'failed', exitCode: 11, endedAt: this.now, failure }));
  }

  /** Kills a job that runs, before or after its work: it has not said how it ended. */
  lose(id: string, { worked = false }: { readonly worked?: boolean } = {}): void {
    const failure = { kind: 'machine' as const, message: 'the job ended without saying how', hint: null };
    this.#end(
      id,
      (job) => {
        if (worked) this.#tryWork(job);
        return { ...job, state: 'lost', failure };
      },
      worked,
    );
  }

  #work(job: Job) {
    const work = this.verbs[job.verb] ?? (() => ({ text: `${job.verb} done`, json: {} }));
    return work(job.argv, this);
  }

  #tryWork(job: Job): void {
    try {
      this.#work(job);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }

  #end(id: string, end: (job: Job) => Job, worked = false): void {
    const index = this.jobs.findIndex((job) => job.id === id);
    const job = this.jobs[index];
    if (job === undefined || !isPending(job)) return;
    const ended = end(job);
    this.jobs[index] = ended;
    this.observer?.ended(this, ended, worked || ended.state === 'succeeded');
  }

  /** The machine as a hook sees it. */
  toUnitMachine(): UnitMachine {
    return {
      install: async (roles) => {
        if (this.faults.install !== undefined) throw this.faults.install;
        this.installed = roles;
        this.version.installed = this.version.charm;
        return [];
      },
      identify: async (identity) => {
        this.identity = identity;
      },
      keepArchiver: async (label) => {
        this.archiver = label;
      },
      isInstalled: async () => this.installed !== undefined && this.version.installed === this.version.charm,
      uninstall: async () => {
        await this.#leave();
        // What still runs comes to its end right behind that, as chance has it.
        for (const job of this.pending) this.finish(job.id);
        this.uninstalled = true;
        this.archiver = undefined;
        this.installed = undefined;
        this.settings = undefined;
        this.identity = undefined;
        return [];
      },
      leave: async () => await this.#leave(),
      readSettings: async () => this.settings,
      writeSettings: async (text) => {
        this.settings = text;
      },
      keepCredentials: async (values) => {
        const before = JSON.stringify(this.credentials);
        this.credentials = values;
        return JSON.stringify(values) !== before;
      },
      writeSite: async (site) => {
        this.site = site;
      },
      look: async (roles) => ({
        cluster: roles.includes('postgresql') ? this.cluster : undefined,
        landscape: roles.includes('landscape') ? this.landscape : undefined,
        trouble: this.trouble,
        jobs: [...this.jobs],
      }),
      now: () => this.now,
      pause: async () => {
        for (const job of this.pending) this.passTime(job);
      },
      keepShare: async (planId, share) => {
        this.shares.set(planId, share);
      },
      jobs: this.#jobs(),
    };
  }

  async #leave(): Promise<readonly string[]> {
    this.left += 1;
    if (this.faults.leave === undefined) this.archives = false;
    return this.faults.leave === undefined ? [] : [this.faults.leave];
  }

  #jobs(): UnitMachine['jobs'] {
    return {
      start: async (argv, { id, input } = {}) => {
        const [verb = ''] = argv;
        if (id !== undefined && this.jobs.some((job) => job.id === id)) return id;
        const other = this.pending.find((job) => job.verb === verb);
        if (other !== undefined) throw new Failure('busy', `a job of ${verb} is already running: ${other.id}`);
        const made = id ?? `${verb}-${this.#number}`;
        this.#number += 1;
        const old = this.jobs.filter((job) => !isPending(job));
        for (const job of old.slice(0, -keptJobs)) this.jobs.splice(this.jobs.indexOf(job), 1);
        const job: Job = {
          id: made,
          verb,
          argv,
          startedAt: this.now,
          state: 'running',
          progress: undefined,
          result: undefined,
          endedAt: undefined,
          exitCode: undefined,
          failure: undefined,
        };
        this.jobs.push(job);
        if (input !== undefined) this.inputs.set(made, input.reveal());
        this.observer?.started(this, job);
        return made;
      },
      look: async (id) => this.jobs.find((job) => job.id === id),
      list: async () => this.jobs.toReversed(),
      stop: async (id) => {
        if (this.faults.stop !== undefined) throw this.faults.stop;
        if (this.faults.hangs !== true) this.lose(id);
        return this.jobs.find((job) => job.id === id);
      },
    };
  }
}
