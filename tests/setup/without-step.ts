import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';

/** Looks in a source file for calls that are not followed, before the next one of them, by a step at which a test can kill. */
export async function withoutStep(
  path: string,
  calls: RegExp,
): Promise<{ readonly seen: number; readonly without: readonly string[] }> {
  const lines = (await readFile(path, 'utf8')).split('\n');
  const at = lines.flatMap((line, index) => (calls.test(line) ? [index] : []));
  const without = at.filter((index) => {
    const after = lines.slice(index + 1, index + 13);
    const end = after.findIndex((each) => calls.test(each) || /^(?: {2})?\}$/.test(each));
    return !after.slice(0, end).some((each) => /step(?:\?\.)?\(/i.test(each));
  });
  return { seen: at.length, without: without.map((index) => `${basename(path)}: ${lines[index]?.trim() ?? ''}`) };
}
