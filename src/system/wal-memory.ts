import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod';
import { instantSchema } from '../core/backup.ts';
import { wholeLogsSchema } from '../core/wal-index.ts';
import { formatJson, readJson, removeFile, writeJson } from './files.ts';
import type { UnitFolder } from './home.ts';

/** What is known of one incarnation's WAL: nothing but which logs were whole. */
const knownWalSchema = z.object({
  incarnation: z.number().int().positive(),
  segmentSize: z.number().int().positive(),
  /** When the last listing of all of it began. */
  listedAt: instantSchema,
  whole: z.array(wholeLogsSchema),
});
export type KnownWal = z.infer<typeof knownWalSchema>;

const memorySchema = z.object({
  repositoryId: z.string(),
  url: z.string(),
  systemIdentifier: z.string(),
  incarnations: z.array(knownWalSchema),
});
/** The memory of one cluster in one repository at one destination. */
export type WalMemory = z.infer<typeof memorySchema>;

/**
 * `wal-index.json` in the unit's folder: which logs of the repository were whole. It saves listing them again, may be lost at
 * any time, and is believed and written only under the lock `wal-index`.
 */
const fileSchema = z.object({ format: z.literal(1), sha256: z.string(), memory: memorySchema });

function pathOf(unit: UnitFolder): string {
  return join(unit.path, 'wal-index.json');
}

function digestOf(memory: WalMemory): string {
  return createHash('sha256').update(formatJson(memorySchema, memory)).digest('hex');
}

/** Tells whether two memories say the same. */
export function isSameMemory(one: WalMemory, other: WalMemory): boolean {
  return digestOf(one) === digestOf(other);
}

/** What is remembered; `undefined` for all that can't be read or is not, to the last byte of it, what was written. */
export async function readWalMemory(unit: UnitFolder): Promise<WalMemory | undefined> {
  // It only saves work, so nobody is kept from his by the state of it.
  const file = await readJson(pathOf(unit), fileSchema).catch(() => undefined);
  return file?.sha256 === undefined || file.sha256 !== digestOf(file.memory) ? undefined : file.memory;
}

/** Replaces what is remembered. */
export async function writeWalMemory(unit: UnitFolder, memory: WalMemory): Promise<void> {
  await writeJson(pathOf(unit), fileSchema, { format: 1, sha256: digestOf(memory), memory });
}

/** Forgets it all, durably. */
export async function dropWalMemory(unit: UnitFolder): Promise<void> {
  await removeFile(pathOf(unit));
}
