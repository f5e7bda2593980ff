import type { Job } from '../../src/core/job.ts';
import { Failure } from '../../src/core/failure.ts';
import { planJson } from './charm-world.ts';
import type { DoubleMachine, Observer, Verb } from './double-machine.ts';

/** What lies on a machine: what was there, what the plan brings, or something that is neither. */
interface Contents {
  database: 'old' | 'half' | 'new';
  files: 'old' | 'half' | 'new';
  fenced: boolean;
  /** The plan whose restore has begun on the database. */
  begun: string | undefined;
}

interface Plan {
  readonly planner: string;
  readonly participants: readonly string[];
  readonly json: unknown;
  /** Units that the operator said to leave out. */
  readonly leftOut: Set<string>;
  /** Units that whoever was told to give up had not met, or not any more. */
  readonly unmet: Set<string>;
}

interface Work {
  readonly unit: string;
  readonly kind: 'restore' | 'abandon';
  readonly run: number;
  readonly stage: string;
  readonly plan: string;
  state: 'works' | 'done' | 'not-done';
}

/** Where a stage has work: the order is the promise's. */
const order = {
  restore: [
    ['check', 'postgresql', 'landscape'],
    ['quiesce', 'landscape'],
    ['database', 'postgresql'],
    ['files', 'landscape'],
    ['verify', 'landscape'],
    ['resume', 'landscape'],
  ],
  abandon: [
    ['abandon-database', 'postgresql'],
    ['abandon-files', 'landscape'],
  ],
} as const;

/** A promise of the restore was broken; the story that did it is printed. */
export class Broken extends Error {}

/** What jobs really did on all machines of a world, whatever bags say, and what must hold of it at any moment. */
export class Truth implements Observer {
  readonly plans = new Map<string, Plan>();
  readonly #contents = new Map<DoubleMachine, Contents>();
  readonly #isGone: (unit: string) => boolean;
  #work: Work[] = [];
  #planNumber = 0;
  /** How many jobs of any kind were started. */
  stages = 0;

  constructor(isGone: (unit: string) => boolean) {
    this.#isGone = isGone;
  }

  contentsOf(machine: DoubleMachine): Contents {
    const known = this.#contents.get(machine);
    if (known !== undefined) return known;
    const fresh: Contents = { database: 'old', files: 'old', fenced: false, begun: undefined };
    this.#contents.set(machine, fresh);
    return fresh;
  }

  /** Time passes: what was restored is what is there. */
  settled(): void {
    this.#contents.clear();
    this.#work = [];
  }

  started(machine: DoubleMachine, job: Job): void {
    this.stages += 1;
    const work = readWork(machine.unit, job);
    if (work === undefined) return;
    this.#refuseEarly(work);
    this.#work.push(work);
    const contents = this.contentsOf(machine);
    if (work.stage === 'database' && contents.database !== 'new') {
      contents.database = 'half';
      contents.begun = work.plan;
    }
    if (work.stage === 'abandon-database' && contents.begun === work.plan) contents.database = 'half';
    if (work.stage === 'files' || work.stage === 'abandon-files') contents.files = 'half';
  }

  ended(machine: DoubleMachine, job: Job, worked: boolean): void {
    const said = readWork(machine.unit, job);
    const work = this.#work.findLast(
      (each) => said !== undefined && each.unit === said.unit && each.stage === said.stage && each.state === 'works',
    );
    if (work !== undefined) work.state = worked ? 'done' : 'not-done';
  }

  #refuseEarly({ unit, kind, run, stage, plan: id }: Work): void {
    const what = `${kind} ${run}: ${stage} on ${unit}`;
    const plan = this.plans.get(id);
    if (plan === undefined) throw new Broken(`${what} begins for a plan that nobody made`);
    const participants = [plan.planner, ...plan.participants];
    if (!participants.includes(unit)) throw new Broken(`${what} begins on a unit that has no part in it`);
    const busy = this.#work.find((each) => each.unit === unit && each.state === 'works');
    if (busy !== undefined) throw new Broken(`${what} begins while ${busy.kind} ${busy.run} ${busy.stage} works there`);
    for (const [before, ...roles] of order[kind]) {
      if (before === stage) return;
      for (const other of participants) {
        const role = other === plan.planner ? 'postgresql' : 'landscape';
        if (!roles.some((each) => each === role) || plan.leftOut.has(other)) continue;
        if (kind === 'abandon' && (this.#isGone(other) || plan.unmet.has(other))) continue;
        const done = this.#work.some(
          (each) => each.unit === other && each.run === run && each.stage === before && each.state === 'done',
        );
        if (!done) throw new Broken(`${what} begins before ${other} has done ${before}`);
      }
    }
    throw new Broken(`${what} is no stage`);
  }

  /** The verbs of a world whose machines keep such contents; as strict as the real ones. */
  readonly verbs: Readonly<Record<string, Verb>> = {
    restore: (argv, machine) => this.#restore(argv, machine),
    'abandon-restore': (argv, machine) => this.#abandon(argv, machine),
    quiesce: (_argv, machine) => this.#set(machine, { fenced: true }),
    'restore-files': (_argv, machine) => this.#set(machine, { files: 'new' }, 'Landscape is not fenced'),
    'verify-files': (_argv, machine) => this.#set(machine, {}, 'Landscape is not fenced'),
    resume: (_argv, machine) => this.#set(machine, { fenced: false }),
    'abandon-files': (_argv, machine) => this.#set(machine, { fenced: false, files: 'old' }),
  };

  #set(machine: DoubleMachine, change: Partial<Contents>, needsFence?: string) {
    const contents = this.contentsOf(machine);
    if (needsFence !== undefined && !contents.fenced) throw new Broken(`${machine.unit}: ${needsFence}`);
    Object.assign(contents, change);
    const { landscape } = machine;
    if (landscape !== undefined && landscape.published !== null)
      machine.landscape = { ...landscape, published: { ...landscape.published, fenced: contents.fenced } };
    return { text: 'done', json: {} };
  }

  #restore(argv: readonly string[], machine: DoubleMachine) {
    const contents = this.contentsOf(machine);
    const id = argv.find((each) => each.startsWith('--confirm='))?.slice('--confirm='.length);
    if (id === undefined) return this.#print(machine);
    const plan = this.plans.get(id);
    if (plan?.planner !== machine.unit) throw new Failure('missing', `there is no plan ${id} on this unit`);
    const isUnderWay = contents.begun === id && contents.database === 'half';
    if (contents.database !== 'old' && contents.begun !== id)
      throw new Failure('refused', `the restore of plan ${contents.begun ?? ''} is under way`);
    if (argv.includes('--check')) {
      if (contents.database === 'new') throw new Failure('refused', `the plan ${id} no longer stands`);
      return { text: isUnderWay ? 'under way' : 'stands', json: { plan: plan.json } };
    }
    if (!argv.includes('--other-units-stopped')) throw new Broken('the database is restored beside running units');
    contents.database = 'new';
    return { text: 'restored', json: {} };
  }

  #print(machine: DoubleMachine) {
    this.#planNumber += 1;
    const id = `a${String(this.#planNumber).padStart(15, '0')}`;
    const json = planJson(machine, id);
    const units = (json as { units: readonly { unit: string }[] }).units.map(({ unit }) => unit);
    this.plans.set(id, { planner: machine.unit, participants: units, json, leftOut: new Set(), unmet: new Set() });
    return { text: `Plan ${id}`, json: { plan: json } };
  }

  #abandon(argv: readonly string[], machine: DoubleMachine) {
    const contents = this.contentsOf(machine);
    const id = argv.find((each) => each.startsWith('--confirm='))?.slice('--confirm='.length);
    if (argv.includes('--check')) return { text: 'can be undone', json: {} };
    if (contents.begun !== id || contents.database === 'old') {
      if (!argv.includes('--if-begun')) throw new Failure('refused', 'there is no restore on this unit');
      return { text: 'nothing to undo', json: {} };
    }
    contents.database = 'old';
    return { text: 'undone', json: {} };
  }
}

/** Which stage's work a job does, by what it is called with. */
function readWork(unit: string, { id, argv }: Job): Work | undefined {
  const [verb = ''] = argv;
  const [, kind, run] = /^(restore|abandon)-(\d+)-/.exec(id) ?? [];
  const stage = stageOf(verb, argv);
  if ((kind !== 'restore' && kind !== 'abandon') || stage === undefined) return undefined;
  const at = argv.findIndex((each) => each === '--plan');
  const confirm = argv.find((each) => each.startsWith('--confirm='))?.slice('--confirm='.length);
  return { unit, kind, run: Number(run), stage, plan: confirm ?? argv[at + 1] ?? '', state: 'works' };
}

function stageOf(verb: string, argv: readonly string[]): string | undefined {
  if (verb === 'restore') return argv.includes('--check') ? 'check' : 'database';
  const names: Readonly<Record<string, string>> = {
    'landscape-check': 'check',
    quiesce: 'quiesce',
    'restore-files': 'files',
    'verify-files': 'verify',
    resume: 'resume',
    'abandon-restore': 'abandon-database',
    'abandon-files': 'abandon-files',
  };
  return names[verb];
}
