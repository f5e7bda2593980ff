import { execa } from 'execa';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * The very bytes that a program writes to its standard output. They go through files: what execa gathers of a program's
 * bytes is now and then not what the program wrote (seen with Node 26, in about one of two hundred runs).
 */
export async function programBytes(
  program: string,
  args: readonly string[],
  input: Uint8Array = new Uint8Array(),
): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'lb-bytes-'));
  try {
    const [from, to] = [join(folder, 'input'), join(folder, 'output')];
    await writeFile(from, input);
    // Without `buffer: false` it gathers the bytes beside the file all the same, and fails past 100 MB.
    await execa(program, args, { inputFile: from, stdout: { file: to }, buffer: false });
    return await readFile(to);
  } finally {
    await rm(folder, { recursive: true });
  }
}
