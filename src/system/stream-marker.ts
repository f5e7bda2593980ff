import { join } from 'node:path';
import * as z from 'zod';
import { readJson, removeFile, writeJson } from './files.ts';
import type { UnitFolder } from './home.ts';

/**
 * `streaming.json` in the unit's folder: there is a slot of ours on the server, or there is to be one.
 *
 * It is written before the slot is made and removed after the slot is, both under the lock `archiving`: who leaves finds
 * every slot that there can be.
 */
const streamMarkerSchema = z.object({
  format: z.literal(1),
  slot: z.string(),
  incarnation: z.number().int().positive(),
  /** Archiving is on again: when this segment is stored and received, the slot may go. */
  until: z.string().nullable(),
});
export type StreamMarker = z.infer<typeof streamMarkerSchema>;

function pathOf(unit: UnitFolder): string {
  return join(unit.path, 'streaming.json');
}

/** What is streamed here; `undefined` where nothing is. */
export async function readStreamMarker(unit: UnitFolder): Promise<StreamMarker | undefined> {
  return await readJson(pathOf(unit), streamMarkerSchema);
}

/** Says durably that there is a slot, before it is made. */
export async function writeStreamMarker(unit: UnitFolder, marker: StreamMarker): Promise<void> {
  await writeJson(pathOf(unit), streamMarkerSchema, marker);
}

/** Says that there is none any more, after it was dropped. */
export async function removeStreamMarker(unit: UnitFolder): Promise<void> {
  await removeFile(pathOf(unit));
}

/** Where what is received lies until it is stored: one folder for each incarnation. */
export function streamFolder(unit: UnitFolder, incarnation: number): string {
  return join(unit.path, 'stream', String(incarnation));
}
