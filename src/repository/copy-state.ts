import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import type { Storage } from '../storage/storage.ts';
import { formatJson, parseJson } from '../system/files.ts';
import { compareListings, copyClass, copyMark, recordFolder, type Compared } from './copy-order.ts';
import { smallObject, type Sides } from './copy-taken.ts';
import { layout } from './layout.ts';
import type { Repository } from './repository.ts';
import { putUnlessThere } from './small-object.ts';

const markSchema = z.object({ format: z.literal(1), of: z.string() });

/** What stands at the place of a copy: nothing, a copy of this repository that was begun, or one that was whole once. */
export type CopyState = 'empty' | 'begun' | 'whole';

/** Looks at the place of a copy. Fails with `refused` where anything else lies there, with `conflict` for another repository. */
export async function lookAtCopy(original: Repository, copy: Storage): Promise<CopyState> {
  const { id } = original.record;
  const record = await smallObject(copy.get(layout.repository), layout.repository);
  if (record !== undefined) {
    const found = parseJson(record.toString('utf8'), z.object({ id: z.string() }), `${copy.url}/${layout.repository}`);
    if (found.id === id) return 'whole';
    throw new Failure('conflict', `at ${copy.url} lies the repository ${found.id}, not a copy of ${id}`, {
      hint: 'Choose a place that is empty.',
    });
  }
  const mark = await smallObject(copy.get(copyMark), copyMark);
  if (mark !== undefined) {
    const { of } = parseJson(mark.toString('utf8'), markSchema, `${copy.url}/${copyMark}`);
    if (of === id) return 'begun';
    throw new Failure('conflict', `at ${copy.url} lies a copy of the repository ${of} that was begun, not of ${id}`, {
      hint: 'Choose a place that is empty.',
    });
  }
  for await (const { key } of copy.list('')) {
    throw new Failure('refused', `the destination ${copy.url} is not empty and holds no copy (it has ${key})`, {
      hint: 'Choose a place that is empty: other files could be mistaken for ours, and ours for them.',
    });
  }
  return 'empty';
}

/** Says in an empty place whose copy is being made there. Fails as `lookAtCopy` does where another one was faster. */
export async function markCopy({ original, copy }: Sides): Promise<void> {
  const mark = { format: 1 as const, of: original.record.id };
  if (await putUnlessThere(copy, copyMark, formatJson(markSchema, mark))) return;
  await lookAtCopy(original, copy);
}

/** Makes a copy, whose every object is there, the repository. Fails as `lookAtCopy` does where somebody made another one there. */
export async function openCopy({ original, copy }: Sides): Promise<void> {
  for (const key of [layout.readme, layout.repository]) {
    const bytes = await smallObject(original.read(key), key);
    if (bytes !== undefined) await putUnlessThere(copy, key, bytes);
  }
  await lookAtCopy(original, copy);
  await copy.remove(copyMark);
}

/** How much lies in the original, and how much of it the copy lacks. */
export interface CopySize {
  readonly objects: number;
  readonly bytes: number;
  readonly missingObjects: number;
  readonly missingBytes: number;
}

/** Compares both listings. What a record is still to come for, if ever, is not counted. */
export async function measureCopy({ original, copy }: Sides): Promise<CopySize> {
  const all = { objects: 0, bytes: 0, missingObjects: 0, missingBytes: 0 };
  let folder: string | undefined;
  let waiting: Compared[] = [];
  const settle = (isWhole: boolean) => {
    for (const each of isWhole ? waiting : []) count(all, each);
    waiting = [];
  };
  for await (const each of compareListings(original.storage.list(''), copy.list(''))) {
    const here = recordFolder(each.key);
    if (here !== folder) settle(waiting.some(({ key }) => copyClass(key) === 'record'));
    folder = here;
    if (copyClass(each.key) === 'left') continue;
    if (here === undefined) count(all, each);
    else waiting.push(each);
  }
  settle(waiting.some(({ key }) => copyClass(key) === 'record'));
  return all;
}

function count(
  all: { objects: number; bytes: number; missingObjects: number; missingBytes: number },
  { sizeBytes, there }: Compared,
): void {
  all.objects += 1;
  all.bytes += sizeBytes;
  if (there !== undefined) return;
  all.missingObjects += 1;
  all.missingBytes += sizeBytes;
}
