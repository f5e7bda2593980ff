import { execa } from 'execa';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layCharm } from '../../src/packaging/pack.ts';
import { architectures } from '../../src/packaging/shipped-node.ts';
import type { Model } from '../juju/simulator/model.ts';
import { Simulator } from '../juju/simulator/simulator.ts';
import type { ActionResult } from '../juju/simulator/state.ts';
import { makeSiteFace, type SiteFace } from '../juju/site-face.ts';
import type { SiteMachine } from '../site/machine.ts';
import type { PostgresqlHost } from '../site/postgresql-host.ts';
import { until } from '../setup/wait.ts';
import { deployPrincipals, type Principals, type PrincipalsOptions } from './principals.ts';

const root = join(import.meta.dirname, '..', '..');
/** The destination as every machine sees it; one directory of the host, as an NFS share would be. */
export const destination = '/srv/backup';
const application = 'landscape-backup';

/** Juju models whose machines are simulated Linux machines, with the packed charm as real processes in them. */
export interface CharmWorld {
  readonly sim: Simulator;
  readonly face: SiteFace;
  /** The destination on this machine. */
  readonly share: string;
  /** The charm unpacked, as Juju would have it. */
  readonly charmDirectory: string;
  addModel(name: string, options?: ModelOptions): Promise<CharmModel>;
  /** Takes all machines away. */
  close(): Promise<void>;
}

interface ModelOptions extends PrincipalsOptions {
  readonly version?: string;
  /** Another charm than the world's. */
  readonly charmDirectory?: string;
}

/** One model with its principals, in the words of an administrator. */
export interface CharmModel extends Principals {
  readonly juju: Model;
  readonly name: string;
  /** Deploys our charm and integrates it with all principals; waits until it is installed everywhere. */
  deploy(config?: Readonly<Record<string, string | number | boolean>>): Promise<void>;
  /** Our unit beside a principal's. */
  beside(principal: string): string;
  /** Our unit beside the first PostgreSQL, and that. */
  readonly unit: string;
  readonly database: PostgresqlHost;
  /** `juju run`, whatever comes of it. */
  act(unit: string, action: string, parameters?: Readonly<Record<string, unknown>>): Promise<ActionResult>;
  /** `juju run` that has to succeed; gives back its text. */
  run(unit: string, action: string, parameters?: Readonly<Record<string, unknown>>): Promise<string>;
  /** Lets `restore` of the first PostgreSQL's unit make its plan. */
  plan(parameters?: Readonly<Record<string, unknown>>): Promise<RestorePlan>;
  /** Plans and confirms it there, and waits until the database is a copy of that model's. */
  restore(of: string, parameters?: Readonly<Record<string, unknown>>, seconds?: number): Promise<void>;
  /** Begins another segment, and waits until PostgreSQL has been told that all before it is stored. */
  archive(seconds?: number): Promise<void>;
  /** `status: message` of our unit. */
  status(unit: string): string;
  /** Waits for a status that is like this. */
  until(unit: string, status: RegExp, seconds?: number): Promise<void>;
  machineOf(unit: string): Promise<SiteMachine>;
}

/** What `restore` prints before it is confirmed, and how it is confirmed. */
interface RestorePlan {
  readonly text: string;
  readonly id: string;
}

/** Makes a world whose agents work all the time, as real ones do. */
export async function makeCharmWorld(): Promise<CharmWorld> {
  const directory = await mkdtemp(join(tmpdir(), 'lbw-'));
  await chmod(directory, 0o755);
  const share = join(directory, 'share');
  await mkdir(share);
  const { stdout } = await execa('id', ['-g', 'postgres']);
  await chown(share, 0, Number(stdout));
  await chmod(share, 0o2770);
  const charmDirectory = await makeCharm(join(directory, 'charm'));
  const face = makeSiteFace({ directory: join(directory, 'm'), shared: () => ({ [destination]: share }) });
  const sim = new Simulator({ concurrency: 6 });
  const rest = sim.keepRunning();
  return {
    sim,
    face,
    share,
    charmDirectory,
    addModel: async (name, options = {}) => {
      const juju = sim.addModel(name, options.version === undefined ? {} : { version: options.version });
      const principals = await deployPrincipals(juju, face, options);
      return charmModel(juju, face, principals, options.charmDirectory ?? charmDirectory);
    },
    close: async () => {
      const rested = rest();
      await face.close();
      await rested;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Lays the charm out as Juju unpacks it, with the runtime that was built for this run of the tests. */
async function makeCharm(folder: string): Promise<string> {
  const runtime = process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] ?? 'the runtime is built by tests/setup/global.ts';
  const architecture = architectures.find((each) => each === (process.arch === 'x64' ? 'amd64' : process.arch));
  if (architecture === undefined) throw new Error(`no charm is packed for ${process.arch}`);
  await layCharm(root, architecture, folder);
  await execa('cp', ['-al', runtime, join(folder, 'runtime')]);
  return folder;
}

/** Who asks for a plan before that gets one without the units that nobody has heard of yet. */
function haveMet(juju: Model, { landscapeUnits }: Principals): boolean {
  const ours = juju.unitsOf(application).map((name) => juju.unit(name));
  return ours.every(({ views }) => {
    const met = new Set([...views.values()].flatMap(({ members }) => [...members.keys()]));
    return ours.every((other) => {
      if (other.views === views) return true;
      if (!met.has(other)) return false;
      const facts = juju.bagOf(other.name, 'peers')['facts'] ?? '';
      return facts.includes(landscapeUnits.includes(other.principal?.name ?? '') ? '"landscape":{' : '"roles":');
    });
  });
}

/** Archives what is written up to now. */
async function archiveNow(database: PostgresqlHost, seconds: number): Promise<void> {
  const segment = await database.sql('select pg_walfile_name(pg_switch_wal())');
  const last = "select coalesce(last_archived_wal, '') from pg_stat_archiver";
  await until(`${segment} is archived`, async () => (await database.sql(last)) >= segment, seconds);
}

function charmModel(juju: Model, face: SiteFace, principals: Principals, charmDirectory: string): CharmModel {
  const beside = (principal: string): string => {
    const ours = juju.unitsOf(application).find((unit) => juju.unit(unit).principal?.name === principal);
    if (ours === undefined) throw new Error(`nobody of ours is beside ${principal}`);
    return ours;
  };
  const status = (unit: string): string => {
    const said = juju.statusOf(unit);
    return `${said.status}: ${said.message}`;
  };
  const act: CharmModel['act'] = async (unit, action, parameters = {}) =>
    await juju.start(unit, action, parameters).finished;
  const waitFor: CharmModel['until'] = async (unit, wanted, seconds = 30) => {
    try {
      await until(`${unit} is ${String(wanted)}`, async () => wanted.test(status(unit)), seconds);
    } catch (error) {
      const log = juju.logOf(unit).slice(-40);
      throw new Error(`${unit} is ${status(unit)}\n${log.map(({ level, text }) => `${level} ${text}`).join('\n')}`, {
        cause: error,
      });
    }
  };
  const run: CharmModel['run'] = async (unit, action, parameters) => {
    const { status: ended, message, results, log } = await act(unit, action, parameters);
    if (ended !== 'completed') {
      throw new Error(`${action} on ${unit} ${ended}: ${message}\n${JSON.stringify(results)}\n${log.join('\n')}`);
    }
    const { result } = results;
    return typeof result === 'string' ? result : '';
  };
  const unit = () => beside(principals.databaseUnits[0] ?? 'postgresql');
  const database = () => {
    const [first] = principals.databases;
    if (first === undefined) throw new Error(`${juju.name} has no database`);
    return first;
  };
  const plan: CharmModel['plan'] = async (parameters) => {
    const text = await run(unit(), 'restore', parameters);
    const [, id] = /restore confirm=(\w+)/.exec(text) ?? [];
    if (id === undefined) throw new Error(`this is no plan: ${text}`);
    return { text, id };
  };
  return {
    ...principals,
    juju,
    name: juju.name,
    deploy: async (config = {}) => {
      await juju.deploySubordinate(application, { charmDirectory, processes: face.face }, { config });
      for (const unit of principals.databaseUnits) {
        juju.integrate(`${application}:postgresql`, unit.split('/')[0] ?? unit);
        break;
      }
      if (principals.landscapeUnits.length > 0) juju.integrate(`${application}:landscape`, 'landscape-server');
      for (const unit of [...principals.databaseUnits, ...principals.landscapeUnits]) {
        await until(
          `our unit beside ${unit} is installed`,
          async () =>
            juju
              .unitsOf(application)
              .some((ours) => juju.unit(ours).principal?.name === unit && juju.unit(ours).started),
          180,
        );
      }
      await until('our units know of each other what they are', async () => haveMet(juju, principals), 180);
    },
    beside,
    get unit() {
      return unit();
    },
    get database() {
      return database();
    },
    act,
    run,
    plan,
    restore: async (of, parameters = {}, seconds = 180) => {
      const { id } = await plan(parameters);
      const { identity } = parameters;
      await run(unit(), 'restore', identity === undefined ? { confirm: id } : { confirm: id, identity });
      await waitFor(unit(), new RegExp(`^blocked: 15/main: restored copy of \\S+ of the model ${of}`), seconds);
    },
    archive: async (seconds = 120) => {
      await archiveNow(database(), seconds);
    },
    status,
    until: waitFor,
    machineOf: async (unit) => await face.siteOf(juju.unit(unit).machine),
  };
}
