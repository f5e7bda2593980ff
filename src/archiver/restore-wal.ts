import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { noAccess, type DestinationAccess } from '../core/destination-access.ts';
import { readDestination } from '../core/destination.ts';
import { noEncryption } from '../core/encryption.ts';
import { Failure, toFailure } from '../core/failure.ts';
import { servedFrom, servePlanSchema, type RestoreService, type ServePlan } from '../core/restore-service.ts';
import { parseWalName, type WalName } from '../core/wal-name.ts';
import type { Clock } from '../system/clock.ts';
import { within } from '../system/deadline.ts';
import { readJson } from '../system/files.ts';
import { readSettings, type UnitFolder } from '../system/home.ts';
import { forgetLastFailure, noteLastFailure } from './last-failure.ts';
import { withExpected, type ExpectedAt } from './open-expected.ts';
import { placeWal, sweepBeside } from './place-wal.ts';
import type { RestoreRequest, Served } from './restore-request.ts';
import { serveLineage } from './serve-lineage.ts';
import { readServedIdentities } from './served-identities.ts';

/** The file that holds the plan in service, while there is one. */
export function servePlanFile(unit: UnitFolder): string {
  return join(unit.restore, 'serve.json');
}

const defaultPatienceSeconds = 60;
/** What one try may take beyond the patience: a segment of 1 GiB through a slow network. */
const attemptLimitMs = 4 * 60_000;
const noteLimitMs = 5000;
const firstPauseMs = 250;
const longestPauseMs = 8000;
/** What is damaged is read again in case the way was, but not for long: it will not mend by itself. */
const attemptsOnDamage = 3;

/**
 * Puts the WAL file that recovery asks for in its place, or proves that there is none.
 *
 * With a plan in service it serves that plan and nothing else; without one, the lineage of the unit's incarnation. Whatever
 * may pass is tried again for a while. Fails with the last reason, which is also left in the unit's folder for the restore
 * that waits.
 */
export async function restoreWal(
  request: RestoreRequest,
  clock: Clock,
  limitMs: number = attemptLimitMs,
): Promise<Served> {
  const { unit, name } = request;
  let attempts = 1;
  const count = (attempt: number) => {
    attempts = attempt;
  };
  try {
    const wal = parseWalName(name);
    const plan = await within(limitMs, 'reading the plan', readJson(servePlanFile(unit), servePlanSchema));
    const patienceMs = (plan?.patienceSeconds ?? defaultPatienceSeconds) * 1000;
    const work = tryAgain(() => serve(request, plan, wal), { patienceMs, isWanted: request.isWanted, count });
    const served = await within(limitMs + patienceMs, `fetching ${name}`, work);
    // The file is in its place; a note that can't be removed only makes the restore look at it.
    await within(noteLimitMs, 'the note', forgetLastFailure(unit)).catch(() => undefined);
    return served;
  } catch (error) {
    const note = noteLastFailure(unit, name, error, attempts, clock.now());
    await within(noteLimitMs, 'the note', note).catch(() => undefined); // No restore runs, or its disk is full.
    throw error;
  }
}

async function serve(request: RestoreRequest, plan: ServePlan | undefined, name: WalName): Promise<Served> {
  const target = join(request.dataDirectory, request.path);
  await sweepBeside(target);
  if (plan === undefined) return await serveLineage(request, name, target);
  return await servePlanned(request, plan, name, target);
}

async function servePlanned(
  request: RestoreRequest,
  { service }: ServePlan,
  name: WalName,
  target: string,
): Promise<Served> {
  const from = servedFrom(service, name);
  if (from === undefined) return 'absent';
  const { systemIdentifier, segmentSize } = service;
  const place = { systemIdentifier, incarnation: from.incarnation };
  const at = await whereServed(service, request.unit);
  return await withExpected<Served>(at, service.repositoryId, async (repository) => {
    await placeWal(repository, place, { name, target, segmentSize, part: from.part, isWanted: request.isWanted });
    return 'served';
  });
}

/** Where what a plan serves lies, with the access that the settings give now and what opens it, as the restore was given it. */
export async function whereServed({ url }: RestoreService, unit: UnitFolder): Promise<ExpectedAt> {
  const destination = readDestination(url);
  if (typeof destination === 'string') {
    throw new Failure('internal', `the plan names a destination that is none: ${url} (${destination})`);
  }
  // A directory is served whatever stands in the settings now.
  const access = destination.kind === 'directory' ? noAccess : await accessTo(url, unit);
  const encryption = { ...noEncryption, identities: await readServedIdentities(unit) };
  return { destination, access, second: undefined, encryption, privateFolder: unit.path };
}

/** A plan is made from one of the two destinations, and served from that one. */
async function accessTo(url: string, unit: UnitFolder): Promise<DestinationAccess> {
  const { destination, access, second } = await readSettings(dirname(unit.path));
  return second !== undefined && destination?.url !== url && second.destination.url === url ? second.access : access;
}

interface Patience {
  readonly patienceMs: number;
  readonly isWanted: () => boolean;
  readonly count: (attempt: number) => void;
}

async function tryAgain<T>(work: () => Promise<T>, { patienceMs, isWanted, count }: Patience): Promise<T> {
  const began = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    count(attempt);
    try {
      return await work();
    } catch (error) {
      const pauseMs = Math.min(firstPauseMs * 2 ** (attempt - 1), longestPauseMs);
      const isOver = performance.now() - began + pauseMs > patienceMs;
      if (isOver || !mayPass(toFailure(error), attempt) || !isWanted()) throw error;
      await sleep(pauseMs);
    }
  }
}

function mayPass({ kind }: Failure, attempt: number): boolean {
  if (kind === 'unavailable') return true;
  return (kind === 'damaged' || kind === 'missing') && attempt < attemptsOnDamage;
}
