import { mkdir } from 'node:fs/promises';
import { archiveCommand } from '../../src/core/archiving-decision.ts';
import { parseSettings } from '../../src/core/settings.ts';
import type { BackupContext } from '../../src/jobs/backup-run.ts';
import type { Cluster } from '../../src/postgres/cluster.ts';
import { readControlData } from '../../src/postgres/control-data.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import type { Place } from '../../src/repository/layout.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { machineClock } from '../../src/system/clock.ts';
import { randomName, writeJson } from '../../src/system/files.ts';
import { pinSchema, unitFolder, writeOwnerState, type UnitFolder } from '../../src/system/home.ts';
import { openDestination, writeDestination, type DestinationOptions } from './destinations.ts';
import { makeMachine, type ClusterOptions, type Machine, type TestCluster } from './machine.ts';

/** A running cluster that owns its incarnation in a fresh repository and archives into it. */
export interface ArchivedCluster {
  readonly machine: Machine;
  readonly server: TestCluster;
  readonly cluster: Cluster;
  readonly unit: UnitFolder;
  readonly repository: Repository;
  readonly place: Place;
  readonly ownerId: string;
  /** The options that get to the repository, those of its encryption among them. */
  readonly options: DestinationOptions;
  /** The options of an encrypted repository. */
  readonly encryption: Readonly<Record<string, string>>;
}

/** What a fixture may differ in. */
export interface ArchivedClusterOptions extends ClusterOptions {
  readonly name?: string;
  /** Where the repository lies, when it is not the machine's own destination. */
  readonly destination?: DestinationOptions;
  /** False: the cluster is known to the repository but sends it no WAL. */
  readonly archiving?: boolean;
  /** The options of an encrypted repository. */
  readonly encryption?: Readonly<Record<string, string>>;
}

/** Makes a machine with one such cluster. Call `becomeOwner()` first; `machine.destroy()` removes it all. */
export async function makeArchivedCluster(options: ArchivedClusterOptions = {}): Promise<ArchivedCluster> {
  const machine = await makeMachine();
  try {
    return await addArchivedCluster(machine, options);
  } catch (error) {
    await machine.destroy();
    throw error;
  }
}

/** Adds such a cluster to a machine; the repository is made when it is not there. */
export async function addArchivedCluster(
  machine: Machine,
  options: ArchivedClusterOptions = {},
): Promise<ArchivedCluster> {
  const { name = 'main', archiving = true, encryption = {}, settings, ...rest } = options;
  const destination = { ...(options.destination ?? { destination: `file://${machine.destination}` }), ...encryption };
  const unit = unitFolder(machine.home, `${options.major ?? '15'}-${name}`);
  const archive = archiving
    ? { archive_mode: 'on', archive_command: archiveCommand(machine.runtime, unit.path).replaceAll("'", "''") }
    : {};
  const server = await machine.createCluster(name, { ...rest, settings: { ...archive, ...settings } });
  const { binaries, dataDirectory } = server.cluster;
  const { systemIdentifier } = await readControlData(binaries, dataDirectory);
  const storage = await openDestination(destination, unit.path);
  const { url } = storage;
  const { repository } = await createRepository(storage, new Date(), parseSettings(destination).encryption);
  const ownerId = randomName(16);
  const place: Place = { systemIdentifier, incarnation: 1 };
  await writeDestination(machine.home, destination);
  await mkdir(unit.path, { recursive: true, mode: 0o700 });
  await writeJson(unit.pin, pinSchema, { repositoryId: repository.record.id, url });
  await writeOwnerState(unit, { ownerId, ...place });
  await claimIncarnation(repository, systemIdentifier, 1, {
    format: 1,
    ownerId,
    model: 'test-model',
    application: 'test-host',
    unit: server.cluster.unit,
    since: new Date(),
    parent: null,
  });
  await server.start();
  const cluster = await server.look();
  return { machine, server, cluster, unit, repository, place, ownerId, options: destination, encryption };
}

/** What a backup of such a cluster starts from; options of the settings file may be given. */
export function backupContext(
  archived: ArchivedCluster,
  options: Readonly<Record<string, unknown>> = {},
): BackupContext {
  return {
    cluster: archived.cluster,
    unit: archived.unit,
    repository: archived.repository,
    settings: parseSettings({ ...archived.options, ...options }),
    identity: { model: 'test-model', application: 'test-host', unit: archived.cluster.unit },
    clock: machineClock,
    signal: new AbortController().signal,
    progress: () => undefined,
  };
}
