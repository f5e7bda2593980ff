/**
 * `archiver <unit folder>`: pushes WAL ahead of PostgreSQL's calls. systemd starts it as the cluster's owner and keeps it
 * running; a person may start it as well. It ends with 0 when it is told to, and with 1 and one line otherwise.
 */
import { basename } from 'node:path';
import { runResident } from '../archiver/resident.ts';
import { runStream } from '../archiver/stream.ts';
import { Failure, toFailure } from '../core/failure.ts';
import { streamSource } from '../jobs/stream-source.ts';
import { findCluster } from '../postgres/cluster.ts';
import { machineClock } from '../system/clock.ts';
import { unitFolderAt, type UnitFolder } from '../system/home.ts';
import { takeLockWithin } from '../system/lock.ts';
import { markOf } from '../system/process-mark.ts';
import { serviceManager } from '../system/service-manager.ts';

function unitOf(args: readonly string[]): UnitFolder {
  const [folder, ...more] = args;
  if (folder !== undefined && more.length === 0) return unitFolderAt(folder);
  throw new Failure('usage', "archiver takes the unit's folder", {
    hint: 'systemd starts it: charm/systemd/landscape-backup-archiver@.service.',
  });
}

/** Who asks whether an archiver runs holds its lock for a moment; one that runs holds it for good. */
const patienceMs = 2000;

async function main(): Promise<void> {
  const unit = unitOf(process.argv.slice(2));
  process.umask(0o007);
  const manager = serviceManager();
  const stopping = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    // Not once: execa's own listener would find itself alone and end the process by the signal.
    process.on(signal, () => {
      stopping.abort();
    });
  }
  const mark = await markOf(process.pid);
  if (mark === undefined) throw new Failure('machine', 'this process can not be told from others: /proc says nothing');
  // Who is killed in the middle leaves the lock's holder for a moment: it ends when its pipe does.
  const lock = await takeLockWithin(patienceMs, unit.lock('archiver'), `the archiver of ${unit.path}`);
  await manager.ready();
  const { signal } = stopping;
  const clock = machineClock;
  const cluster = async () => await findCluster(basename(unit.path), []);
  const say = (sentence: string) => {
    process.stderr.write(`${sentence.replaceAll(/\s+/g, ' ')}\n`);
    manager.status(sentence);
  };
  const archiving = runResident({
    unit,
    dataDirectory: async () => (await cluster()).dataDirectory,
    mark,
    clock,
    signal,
    step: () => undefined,
    alive: manager.alive,
    say,
  });
  const source = async () => streamSource(await cluster());
  await Promise.all([archiving, runStream({ unit, clock, signal, say, source, step: () => undefined })]);
  await lock.release();
}

try {
  await main();
  process.exit(0);
} catch (error) {
  const { message, hint } = toFailure(error);
  process.stderr.write(`landscape-backup archiver: ${message}${hint === undefined ? '' : `. ${hint}`}\n`);
  process.exit(1);
}
