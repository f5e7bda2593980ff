import { archivingNames } from '../core/archiving-decision.ts';
import { clockFault, failed, passed, type Check, type CheckReport } from '../core/check-report.ts';
import { Failure } from '../core/failure.ts';
import type { Standing } from '../core/incarnation.ts';
import { missingText, walLineText, type WalLine } from '../core/wal-line.ts';
import { segmentEndingAt, segmentName } from '../core/wal-name.ts';
import { formatBytes } from '../core/words.ts';
import { readEffective } from '../postgres/archiving-facts.ts';
import type { BackupWay } from '../postgres/backup-way.ts';
import { withConnection } from '../postgres/query.ts';
import { switchSegment } from '../postgres/segment-switch.ts';
import { readServerFacts, serverTime } from '../postgres/server-facts.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { layout, type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { verifyWal, walKeyIn } from '../repository/wal-store.ts';
import type { Storage } from '../storage/storage.ts';
import { readPin } from '../system/home.ts';
import { refuseUnmounted } from '../system/mounts.ts';
import { checkArchivingIsOurs, checkRoom, checkServer, watchArchiver, type Preflight } from './backup-preflight.ts';
import { proveWriteOnce } from './check-destination.ts';
import { describeReading, proveEncryption } from './check-encryption.ts';
import { readStanding } from './configure.ts';
import { openSettingsRepository, openSettingsStorage, type JobContext } from './job-context.ts';
import { checkSecond } from './check-second.ts';
import { awaitSegments } from './wal-arrival.ts';
import { readServerLine, walLineOf } from './wal-line.ts';

/** How long the walk waits for the segment that it made. */
export interface CheckOptions {
  readonly signal: AbortSignal;
  /** Nothing moves for so long: then archiving counts as broken. A minute unless given. */
  readonly stallMs?: number;
}

/** The names of what is tried, in this order. */
const checkNames = [
  'settings',
  'destination',
  'repository',
  'cluster',
  'ownership',
  'encryption',
  'write-once',
  'clocks',
  'replication',
  'room',
  'archiving',
  'wal',
  'contiguity',
  'second destination',
] as const;
type CheckName = (typeof checkNames)[number];

/**
 * Walks the chain from the settings to a WAL record that is read back from the destination, making its own evidence on the
 * way. Faults are data: the walk goes on as far as it can, and what it could not try is said.
 */
export async function check(context: JobContext, options: CheckOptions): Promise<CheckReport> {
  const walk = new Walk(context, options);
  try {
    await walk.run();
  } finally {
    await walk.close();
  }
  const tried = new Set(walk.checks.map(({ name }) => name));
  const wanted = checkNames.filter((name) => name !== 'second destination' || context.settings.second !== undefined);
  return { checks: walk.checks, notTried: wanted.filter((name) => !tried.has(name)) };
}

class Walk {
  readonly checks: Check[] = [];
  readonly #context: JobContext;
  readonly #options: CheckOptions;
  #storage: Storage | undefined;

  constructor(context: JobContext, options: CheckOptions) {
    this.#context = context;
    this.#options = options;
  }

  async run(): Promise<void> {
    await this.#try('settings', async () => [true, `valid; destination ${destinationOf(this.#context)}`]);
    const storage = await this.#try('destination', async () => await this.#reach());
    const isUp = await this.#try('cluster', async () => await this.#lookAtServer());
    if (storage === undefined) return;
    const repository = await this.#try('repository', async () => await this.#open(storage));
    if (repository === undefined) return;
    const place = await this.#try('ownership', async () => await this.#ownership(repository));
    if (isUp === true) await this.#try('clocks', async () => [true, await this.#clocks(storage)]);
    if (place === undefined) return;
    if (place === 'copy') {
      await this.#try('encryption', async () => [true, describeReading(repository)]);
      return;
    }
    const probes = layout.probes(place);
    const { clock } = this.#context;
    await this.#try('encryption', async () => [true, await proveEncryption(repository, probes, clock.now())]);
    await this.#try('write-once', async () => [true, await proveWriteOnce(repository, probes, clock.now())]);
    if (isUp === true) await this.#owned(repository, place);
    if (this.#context.settings.second === undefined) return;
    await this.#try('second destination', async () => [true, await checkSecond(this.#context, probes)]);
  }

  async #owned(repository: Repository, place: Place): Promise<void> {
    const { cluster } = this.#context;
    const server = await this.#try('replication', async () => {
      const preflight = await checkServer(cluster, place);
      return [preflight, `${describeWay(preflight.way)}, timeline ${preflight.timeline}`];
    });
    if (server === undefined) return;
    await this.#try('room', async () => [true, await this.#room(repository, place, server)]);
    const archiving = await this.#try('archiving', async () => [true, await this.#archiving()]);
    if (archiving === true && this.#context.settings.walArchiving) {
      await this.#try('wal', async () => [true, await this.#proveWal(repository, place, server)]);
      await this.#try('contiguity', async () => [true, await this.#proveLine(repository, place)]);
    }
  }

  async close(): Promise<void> {
    await this.#storage?.close();
  }

  /** Runs one check: its value for those that build on it, or `undefined` and a fault. */
  async #try<T>(name: CheckName, work: () => Promise<readonly [T, string]>): Promise<T | undefined> {
    try {
      const [value, what] = await work();
      this.checks.push(passed(name, what));
      return value;
    } catch (error) {
      this.checks.push(failed(name, error));
      return undefined;
    }
  }

  async #reach(): Promise<readonly [Storage, string]> {
    const { settings } = this.#context;
    if (settings.destination?.kind === 'directory') await refuseUnmounted(settings.destination.path);
    this.#storage = await openSettingsStorage(this.#context);
    const free = await this.#storage.freeBytes();
    const remarks = await this.#storage.remarks();
    const fault = remarks.find(({ is }) => is === 'fault');
    if (fault !== undefined) this.checks.push(failed('destination rules', new Failure('refused', fault.text, fault)));
    const notes = remarks.filter(({ is }) => is === 'note').map(({ text }) => `; ${text}`);
    const room = free === undefined ? '' : `, ${formatBytes(free)} free`;
    return [this.#storage, `${this.#storage.url} is there${room}${notes.join('')}`];
  }

  async #open(storage: Storage): Promise<readonly [Repository, string]> {
    const pin = await readPin(this.#context.unit);
    const repository = await openSettingsRepository(this.#context, storage);
    if (pin === undefined) {
      throw new Failure(
        'refused',
        `this unit is not joined to the repository ${repository.record.id} at ${storage.url}`,
        { hint: 'landscape-backup init' },
      );
    }
    return [repository, `${repository.record.id}, the one that this unit is pinned to`];
  }

  async #lookAtServer(): Promise<readonly [true, string]> {
    const { cluster } = this.#context;
    if (!cluster.running) {
      throw new Failure('postgres', `the cluster ${cluster.label} does not run`, {
        hint: `pg_ctlcluster ${cluster.label.replace('/', ' ')} start`,
      });
    }
    const facts = await withConnection(cluster, readServerFacts);
    return [true, `${cluster.label} runs, version ${facts.versionNumber}, ${formatBytes(facts.databaseBytes)}`];
  }

  async #ownership(repository: Repository): Promise<readonly [Place | 'copy', string]> {
    const { standing, systemIdentifier } = await readStanding(this.#context, repository);
    return [placeOf(standing, systemIdentifier), describeStanding(this.#context, standing)];
  }

  async #clocks(storage: Storage): Promise<string> {
    const server = await withConnection(this.#context.cluster, serverTime);
    const clocks = {
      'this machine': this.#context.clock.now(),
      PostgreSQL: server,
      'the destination': await storage.clock(),
    };
    const fault = clockFault(clocks);
    if (fault !== undefined) {
      throw new Failure('machine', fault, {
        hint: 'Set the clocks by NTP on both sides: nothing expires while they disagree.',
      });
    }
    return 'machine, PostgreSQL and destination agree within five minutes';
  }

  async #room(repository: Repository, place: Place, server: Preflight): Promise<string> {
    await checkRoom(repository, place, server.databaseBytes);
    return 'a base backup fits';
  }

  async #archiving(): Promise<string> {
    const { cluster, unit, settings } = this.#context;
    if (!settings.walArchiving) return 'off by the option wal-archiving: backups have no point in time';
    return await withConnection(cluster, async (connection) => {
      await checkArchivingIsOurs(connection, cluster, unit);
      const effective = await readEffective(connection);
      return archivingNames
        .flatMap((name) => effective.get(name) ?? [])
        .map(
          ({ name, value, source, sourceFile, sourceLine }) =>
            `${name}=${value} (${sourceFile === null ? source : `${sourceFile}:${sourceLine ?? '?'}`})`,
        )
        .join(', ');
    });
  }

  async #proveLine(repository: Repository, place: Place): Promise<string> {
    const line = await readLine(this.#context, repository, place);
    if (line === undefined) return 'nothing is stored yet';
    if (line.lost > 0) {
      throw new Failure('missing', `${walLineText(line)}; WAL ${missingText(line, 'lost')}`, {
        hint: 'Nothing after it can be restored from an older backup. A new one is taken by itself; landscape-backup backup takes it now.',
      });
    }
    return walLineText(line);
  }

  async #proveWal(repository: Repository, place: Place, found: Preflight): Promise<string> {
    const { cluster, unit } = this.#context;
    const { segmentSize } = found.control;
    const startedAt = performance.now();
    const ended = await withConnection(
      cluster,
      async (connection) => await switchSegment(connection, found.versionNumber),
    );
    const number = segmentEndingAt(ended, segmentSize);
    const probe = {
      repository,
      place,
      cluster,
      unit,
      found,
      stallMs: this.#options.stallMs ?? 60_000,
      signal: this.#options.signal,
      report: () => undefined,
    };
    await awaitSegments(
      repository,
      place,
      { timeline: found.timeline, first: number, last: number, segmentSize },
      watchArchiver(probe),
    );
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    const name = segmentName(found.timeline, number, segmentSize);
    const how = await verifyWal(repository, walKeyIn(repository, place, name));
    const back = how === 'opened' ? 'read back' : 'read back as it is stored, encrypted';
    return `a record was written, its segment ${name} arrived after ${seconds} s and was ${back} (${formatBytes(segmentSize)})`;
  }
}

async function readLine(context: JobContext, repository: Repository, place: Place): Promise<WalLine | undefined> {
  const server = await readServerLine(context);
  const catalogue = await readCatalogue(repository, place.systemIdentifier);
  const own = catalogue.incarnations.find(({ number }) => number === place.incarnation);
  return own === undefined ? undefined : walLineOf(catalogue, own, server);
}

function describeWay(way: BackupWay): string {
  if (way.is === 'replication') return 'this user may replicate: base backups come through the replication protocol';
  return `base backups are read from the cluster's files over an ordinary connection, for replication is refused (${way.because})`;
}

function destinationOf({ settings }: JobContext): string {
  return settings.destination?.url ?? '(none)';
}

function placeOf(standing: Standing, systemIdentifier: string): Place | 'copy' {
  return standing.is === 'owner' ? { systemIdentifier, incarnation: standing.incarnation.number } : 'copy';
}

function describeStanding({ cluster }: JobContext, standing: Standing): string {
  if (standing.is === 'owner') return `${cluster.label} owns incarnation ${standing.incarnation.number}`;
  if (standing.is === 'copy')
    return `${cluster.label} is a copy of a cluster that belongs to another owner: it is only read here`;
  throw new Failure('refused', `the repository does not know the cluster ${cluster.label}`, {
    hint: 'landscape-backup init',
  });
}
