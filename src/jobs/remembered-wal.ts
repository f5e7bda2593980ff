import type { ClusterCatalogue } from '../core/catalogue.ts';
import { wholeLogs } from '../core/wal-index.ts';
import { readCatalogue, type LookAtWal } from '../repository/catalogue.ts';
import type { Repository } from '../repository/repository.ts';
import { listedBeside, listedWal } from '../repository/wal-look.ts';
import type { Clock } from '../system/clock.ts';
import type { UnitFolder } from '../system/home.ts';
import { takeLock, takeLockWithin } from '../system/lock.ts';
import {
  dropWalMemory,
  isSameMemory,
  readWalMemory,
  writeWalMemory,
  type KnownWal,
  type WalMemory,
} from '../system/wal-memory.ts';

/** All WAL is listed anew after so long at the latest: for so long a segment that somebody took away may pass for stored. */
const believedMs = 60 * 60 * 1000;
/** Whoever lists holds the lock for as long as that takes. */
const patienceMs = 5 * 60 * 1000;

const lockName = 'wal-index';

/**
 * The catalogue for who tells each minute how things are. It decides nothing about deleting or restoring: that takes
 * `readCatalogue`.
 *
 * Logs of which every segment was stored at the last look are not listed again, so the requests do not grow with what is
 * stored. They can only be whole or wrongly thought so, for an hour at most; what is said to be missing was looked for
 * now. Whoever can't have the lock, because another one looks or a prune is at it, lists everything and remembers nothing.
 */
export async function readCatalogueByMemory(
  { unit, clock }: { readonly unit: UnitFolder; readonly clock: Clock },
  repository: Repository,
  systemIdentifier: string,
): Promise<ClusterCatalogue> {
  const lock = await takeLock(unit.lock(lockName), 'a look at the stored WAL').catch(() => undefined);
  if (lock === undefined) return await readCatalogue(repository, systemIdentifier);
  try {
    const about = { repositoryId: repository.record.id, url: repository.storage.url, systemIdentifier };
    const before = await recall(unit, about);
    const incarnations: KnownWal[] = [];
    const catalogue = await readCatalogue(
      repository,
      systemIdentifier,
      lookFrom(repository, clock, before.incarnations, incarnations),
    );
    const after = { ...about, incarnations };
    // On a full disk the old one stays, and what it says is still true.
    if (!isSameMemory(before, after)) await writeWalMemory(unit, after).catch(() => undefined);
    return catalogue;
  } finally {
    await lock.release();
  }
}

async function recall(unit: UnitFolder, about: Omit<WalMemory, 'incarnations'>): Promise<WalMemory> {
  const found = await readWalMemory(unit);
  const nothing: WalMemory = { ...about, incarnations: [] };
  return found !== undefined && isSameMemory({ ...found, incarnations: [] }, nothing) ? found : nothing;
}

/** A look that uses what is known and adds to `learned` what there is to know afterwards. */
function lookFrom(repository: Repository, clock: Clock, known: readonly KnownWal[], learned: KnownWal[]): LookAtWal {
  return async (place, segmentSize) => {
    const { incarnation } = place;
    const now = clock.now();
    const last = known.find((each) => each.incarnation === incarnation && each.segmentSize === segmentSize);
    const age = now.getTime() - (last?.listedAt.getTime() ?? 0);
    const believed = last !== undefined && age >= 0 && age < believedMs ? last : undefined;
    const beside =
      believed === undefined ? undefined : await listedBeside(repository, place, segmentSize, believed.whole);
    const wal = beside ?? (await listedWal(repository, place, segmentSize));
    const listedAt = beside === undefined || believed === undefined ? now : believed.listedAt;
    const whole = [...wholeLogs(wal)];
    if (whole.length > 0) learned.push({ incarnation, segmentSize, listedAt, whole });
    return wal;
  };
}

/**
 * Does what removes WAL, with nothing remembered before its first removal and nobody who could remember until its end.
 * Killed anywhere, it leaves no memory of what is gone. Fails with `busy` where somebody is at a look for too long.
 */
export async function withWalForgotten<T>(unit: UnitFolder, work: () => Promise<T>): Promise<T> {
  const lock = await takeLockWithin(patienceMs, unit.lock(lockName), 'a look at the stored WAL');
  try {
    await dropWalMemory(unit);
    return await work();
  } finally {
    await lock.release();
  }
}
