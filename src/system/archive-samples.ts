import { join } from 'node:path';
import * as z from 'zod';
import { archiveSampleSchema, type ArchiveSample } from '../core/archive-rate.ts';
import { isFailure } from '../core/failure.ts';
import { readJson, writeJson } from './files.ts';
import type { UnitFolder } from './home.ts';

/** `archive-samples.json` in the unit's folder: what PostgreSQL counted in the last minutes. It may be lost at any time. */
const samplesSchema = z.object({ format: z.literal(1), samples: z.array(archiveSampleSchema) });

/** The samples, oldest first; none where the file is missing or says nothing. */
export async function readArchiveSamples(unit: UnitFolder): Promise<readonly ArchiveSample[]> {
  try {
    return (await readJson(pathOf(unit), samplesSchema))?.samples ?? [];
  } catch (error) {
    if (isFailure(error, 'damaged')) return [];
    throw error;
  }
}

/** Replaces the samples. */
export async function writeArchiveSamples(unit: UnitFolder, samples: readonly ArchiveSample[]): Promise<void> {
  await writeJson(pathOf(unit), samplesSchema, { format: 1, samples: [...samples] });
}

function pathOf(unit: UnitFolder): string {
  return join(unit.path, 'archive-samples.json');
}
