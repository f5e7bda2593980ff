import { execa } from 'execa';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { slotSteps } from '../../src/archiver/wal-steps.ts';
import { findHoles } from '../../src/jobs/find-holes.ts';
import { readNeededBackups } from '../../src/system/needed-backups.ts';
import { readStreamMarker } from '../../src/system/stream-marker.ts';
import { addArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner, makeMachine, type Machine } from '../setup/machine.ts';
import { makeRecovery } from '../setup/recovery.ts';
import {
  allowReplication,
  recovered,
  startArchiver,
  streamContext,
  untilStored,
  type TestArchiver,
} from '../setup/streamed-cluster.ts';
import { until } from '../setup/wait.ts';

type Step = (typeof slotSteps)[number];
type Method = 'archive' | 'stream';
type Verb = 'configure' | 'guard' | 'leave';

let machine: Machine;
let archived: ArchivedCluster;
let archiver: TestArchiver | undefined;
const killed = new Set<Step>();
let rows = 0;

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  // Nobody keeps WAL but the slot; what comes while there is none the server still has when there is one again.
  const settings = { archive_mode: 'on', archive_command: '/bin/true', wal_keep_size: '128MB' };
  archived = await addArchivedCluster(machine, { name: 'slot', archiving: false, settings });
  await allowReplication(archived);
  await archived.server.sql('create table t (i int)');
});

afterAll(async () => {
  await archiver?.kill('SIGTERM');
  await machine.destroy();
});

/** Runs a job as a process of its own, which dies at a step if it comes to it; says whether it did. */
async function run(verb: Verb, method: Method, step?: Step): Promise<boolean> {
  await streamContext(archived, { 'wal-method': method, 'restart-postgresql': true });
  const child = join(import.meta.dirname, 'streaming-child.ts');
  const args = [child, machine.home, machine.runtime, archived.cluster.label, verb, step ?? ''];
  const { signal, exitCode, stderr } = await execa(process.execPath, args, { reject: false });
  if (signal === undefined && exitCode !== 0) throw new Error(`${verb} to ${method} failed: ${stderr}`);
  await write();
  return signal === 'SIGKILL';
}

async function write(): Promise<void> {
  rows += 1;
  await archived.server.sql('insert into t values (1)');
  await archived.server.sql('select pg_switch_wal()');
}

/** Runs a job until it has died at a step, and holds that there is no slot without what stands for it. */
async function kill(step: Step, verb: Verb, method: Method): Promise<{ slots: number; isMarked: boolean }> {
  await until(`${verb} to ${method} is killed at "${step}"`, async () => await run(verb, method, step), 120);
  killed.add(step);
  const slots = Number(await archived.server.sql('select count(*) from pg_replication_slots'));
  const isMarked = (await readStreamMarker(archived.unit)) !== undefined;
  expect({ step, isAccountedFor: slots === 0 || isMarked }).toEqual({ step, isAccountedFor: true });
  return { slots, isMarked };
}

async function needed(): Promise<readonly string[]> {
  return (await readNeededBackups(archived.unit)).map(({ reason }) => reason);
}

const none = { slots: 0, isMarked: false };
const promised = { slots: 0, isMarked: true };
const made = { slots: 1, isMarked: true };

const limitMs = 300_000;

test(
  'a job that makes or drops a slot, killed at every step, leaves no slot behind and loses no row',
  async () => {
    const base = await makeRecovery(archived, 'slot-base');
    archiver = await startArchiver(archived);

    expect(await kill('need recorded', 'configure', 'stream')).toEqual(none);
    expect(await needed()).toContain('foreign-archiver');
    expect(await kill('marker written', 'configure', 'stream')).toEqual(promised);
    expect(await kill('slot made', 'configure', 'stream')).toEqual(made);
    await run('configure', 'stream');
    await untilStored(archived, 90);

    // Nobody receives, so that what waits grows beyond the bound.
    await archiver.kill('SIGTERM');
    await write();
    await write();
    expect(await kill('loss recorded', 'guard', 'stream')).toEqual(made);
    expect(await needed()).toContain('hole');
    expect(await kill('faulty slot dropped', 'guard', 'stream')).toEqual(promised);
    await run('guard', 'stream');
    archiver = await startArchiver(archived);
    await run('configure', 'stream');
    await untilStored(archived, 90);

    expect(await kill('end written', 'configure', 'archive')).toEqual(made);
    expect(await kill('slot dropped', 'configure', 'archive')).toEqual(promised);
    expect(await kill('marker removed', 'configure', 'archive')).toEqual(none);
    await run('configure', 'archive');

    await run('configure', 'stream');
    await untilStored(archived, 90);
    expect(await kill('received removed', 'leave', 'stream')).toEqual(none);
    await run('leave', 'stream');
    await run('configure', 'stream');
    await untilStored(archived, 90);

    expect([...killed].sort()).toEqual([...slotSteps].sort());
    expect(await findHoles(await streamContext(archived, { 'wal-method': 'stream' }), archived.repository)).toEqual([]);
    await archiver.kill('SIGTERM');
    await archived.server.kill();
    expect(await recovered(archived, base, 'slot-1', 'select count(*) from t')).toBe(String(rows));
    await base.remove();
  },
  limitMs,
);
