import { join } from 'node:path';
import { toFailure } from '../../core/failure.ts';
import { filesStateSchema, type FilesState } from '../../core/files-state.ts';
import { readJson, writeJson } from '../../system/files.ts';
import { makePrivateFolder } from '../../system/home.ts';
import type { LandscapeContext } from './context.ts';

type Where = Pick<LandscapeContext, 'unit' | 'clock'>;

function stateFile({ unit }: Pick<Where, 'unit'>): string {
  return join(unit.path, 'files.json');
}

/** How it is with this unit's file sets; `undefined` as long as nobody tried to keep its files. */
export async function readFilesState(context: Pick<Where, 'unit'>): Promise<FilesState | undefined> {
  return await readJson(stateFile(context), filesStateSchema);
}

/** Remembers what a try came to. */
export async function writeFilesKept(
  context: Where,
  kept: Omit<NonNullable<FilesState['kept']>, 'checkedAt'>,
): Promise<void> {
  const checkedAt = context.clock.now();
  await writeJson(stateFile(context), filesStateSchema, { format: 1, kept: { ...kept, checkedAt }, failed: null });
}

/** Remembers that a try failed, and how often now. */
export async function writeFilesFailed(context: Where, error: unknown): Promise<void> {
  const { message, hint } = toFailure(error);
  const before = await readFilesState(context).catch(() => undefined);
  const failed = { times: (before?.failed?.times ?? 0) + 1, at: context.clock.now(), message, hint: hint ?? null };
  await makePrivateFolder(context.unit.path);
  await writeJson(stateFile(context), filesStateSchema, { format: 1, kept: before?.kept ?? null, failed });
}
