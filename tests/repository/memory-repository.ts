import type { Encryption } from '../../src/core/encryption.ts';
import { createRepository, openRepository, type Repository } from '../../src/repository/repository.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import { faultyStorage, type Fault } from '../doubles/faulty-storage.ts';

/** When everything in these tests happened. */
export const atThree = new Date('2026-11-24T03:00:00.000Z');

/** A repository in memory, its objects to look at and damage, and further handles on it. */
export interface MemoryRepository {
  readonly repository: Repository;
  readonly objects: Map<string, Uint8Array>;
  /** Another process's view of it, with faults if wanted. */
  open(...script: Fault[]): Promise<Repository>;
  /** Another machine's view of it, with its own keys. */
  openWith(encryption: Encryption): Promise<Repository>;
}

/** Makes a fresh one. */
export async function memoryRepository(encryption?: Encryption): Promise<MemoryRepository> {
  const destination = new MemoryDestination();
  const { repository } = await createRepository(destination.open(), atThree, encryption);
  return {
    repository,
    objects: destination.objects,
    open: async (...script) =>
      await openRepository(faultyStorage(destination.open(), script), repository.record.id, encryption),
    openWith: async (other) => await openRepository(destination.open(), repository.record.id, other),
  };
}
