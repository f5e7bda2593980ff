import { join } from 'node:path';
import { witnessEveryMs } from '../core/due.ts';
import { endBefore } from '../core/lsn.ts';
import { witnessSchema } from '../core/record.ts';
import { reachOf } from '../core/reach.ts';
import { branchKey, buildTree } from '../core/timeline-tree.ts';
import { segmentEndingAt, segmentOf } from '../core/wal-name.ts';
import { isStill, witnessStateSchema, type WitnessSample, type WitnessState } from '../core/witness.ts';
import { withConnection, type Address } from '../postgres/query.ts';
import { endSegment, sampleWitness } from '../postgres/witness-sample.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { layout, type Place } from '../repository/layout.ts';
import { proveOwnership } from '../repository/ownership.ts';
import { appendRecord } from '../repository/records.ts';
import type { Repository } from '../repository/repository.ts';
import type { Clock } from '../system/clock.ts';
import { readJson, writeJson } from '../system/files.ts';
import { readOwnerState, type OwnerState, type UnitFolder } from '../system/home.ts';
import { missingSegments } from './wal-arrival.ts';

/** The two things that a witness asks of the server. */
export interface WitnessServer {
  readonly segmentSize: number;
  /** None on a standby. */
  sample(): Promise<WitnessSample | undefined>;
  endSegment(): Promise<void>;
}

/** What a witness works with. */
export interface WitnessContext {
  readonly unit: UnitFolder;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly server: WitnessServer;
}

/** The server behind an address. */
export function witnessServer(address: Address, segmentSize: number): WitnessServer {
  return {
    segmentSize,
    sample: async () => await withConnection(address, sampleWitness),
    endSegment: async () => {
      await withConnection(address, endSegment);
    },
  };
}

/** How long a sample waits for its segment to end by itself, and how long for its WAL to arrive at all. */
const endsByItselfMs = 60_000;
const arrivesMs = 15 * 60_000;

/** What a look came to. */
export type Witnessed = 'written' | 'waiting' | 'nothing';

/** What the unit remembers of its last look; `undefined` before the first. */
export async function readWitnessState(unit: UnitFolder): Promise<WitnessState | undefined> {
  return await readJson(stateFile(unit), witnessStateSchema);
}

function stateFile(unit: UnitFolder): string {
  return join(unit.path, 'witness.json');
}

/**
 * Writes "at this time everything up to this LSN was stored" into the repository, once it is true. Called every minute.
 *
 * A sample is taken at most every five minutes. Its segment is ended once if it does not end by itself; while nothing is
 * committed afterwards, later samples need no more WAL, so an idle server makes none.
 */
export async function witness(context: WitnessContext): Promise<Witnessed> {
  const { unit, repository, clock } = context;
  const owner = await readOwnerState(unit);
  if (owner === undefined) return 'nothing';
  await proveOwnership(repository, owner, owner.ownerId);
  const known = await readWitnessState(unit);
  const state = known?.incarnation === owner.incarnation ? known : undefined;
  const pending = state?.pending ?? null;
  if (state !== undefined && pending !== null) return await lookAtPending(context, owner, state, pending);
  const age = state === undefined ? Infinity : Math.abs(clock.now().getTime() - state.sampledAt.getTime());
  return age < witnessEveryMs ? 'nothing' : await takeSample(context, owner, state);
}

async function takeSample(
  context: WitnessContext,
  owner: OwnerState,
  state: WitnessState | undefined,
): Promise<Witnessed> {
  const sampledAt = context.clock.now();
  const found = await context.server.sample();
  if (found === undefined) return 'nothing';
  // Right after a switch the end lies behind the header of a segment that holds nothing and would never end.
  const sample = { ...found, lsn: endBefore(found.lsn, context.server.segmentSize) };
  const { incarnation } = owner;
  const written = state?.written ?? null;
  if (written !== null && isStill(written, sample)) {
    const again = { ...sample, lsn: written.lsn };
    await write(context, owner, again);
    await remember(context, { format: 1, incarnation, sampledAt, written: again, pending: null });
    return 'written';
  }
  const next = { format: 1, incarnation, sampledAt, written, pending: { ...sample, isEnded: false } } as const;
  await remember(context, next);
  return await lookAtPending(context, owner, next, next.pending);
}

async function lookAtPending(
  context: WitnessContext,
  owner: OwnerState,
  state: WitnessState,
  pending: NonNullable<WitnessState['pending']>,
): Promise<Witnessed> {
  if (await isStoredUpTo(context, owner, state.written, pending)) {
    const { isEnded: _isEnded, ...sample } = pending;
    await write(context, owner, sample);
    await remember(context, { ...state, written: sample, pending: null });
    return 'written';
  }
  const age = context.clock.now().getTime() - state.sampledAt.getTime();
  // A younger sample says more, and a clock that was set back would keep this one for ever.
  if (age >= arrivesMs || age < 0) await remember(context, { ...state, pending: null });
  else if (age >= endsByItselfMs && !pending.isEnded) {
    await context.server.endSegment();
    await remember(context, { ...state, pending: { ...pending, isEnded: true } });
  }
  return 'waiting';
}

/** From the last written sample on where there is one; else from any backup whose WAL reaches that far without a hole. */
async function isStoredUpTo(
  { repository, server }: WitnessContext,
  owner: OwnerState,
  written: WitnessSample | null,
  { timeline, lsn }: WitnessSample,
): Promise<boolean> {
  const { segmentSize } = server;
  const last = segmentEndingAt(lsn, segmentSize);
  if (written?.timeline === timeline) {
    const wanted = { timeline, first: segmentOf(written.lsn, segmentSize), last, segmentSize };
    return (await missingSegments(repository, placeOf(owner), wanted)).length === 0;
  }
  const { incarnations } = await readCatalogue(repository, owner.systemIdentifier);
  const tree = buildTree(incarnations.filter(({ owner: of }) => of.ownerId === owner.ownerId));
  return incarnations.some(({ number, backups }) =>
    backups.some((backup) => {
      const from = tree.branches.get(branchKey(number, backup.timeline));
      if (backup.withWal || from === undefined) return false;
      return (reachOf(backup, from, tree).get(branchKey(owner.incarnation, timeline)) ?? -1) >= last;
    }),
  );
}

function placeOf({ systemIdentifier, incarnation }: OwnerState): Place {
  return { systemIdentifier, incarnation };
}

async function write(
  { repository }: WitnessContext,
  owner: OwnerState,
  { at, timeline, lsn }: WitnessSample,
): Promise<void> {
  await appendRecord(repository, layout.witnesses(placeOf(owner)), witnessSchema, { format: 1, at, timeline, lsn });
}

async function remember({ unit }: WitnessContext, state: WitnessState): Promise<void> {
  await writeJson(stateFile(unit), witnessStateSchema, state);
}
