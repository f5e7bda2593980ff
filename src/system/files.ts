import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { lchown, lstat, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type * as z from 'zod';
import { Failure } from '../core/failure.ts';

/** The code of an error of the operating system (`ENOENT`), or `undefined`. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Some bytes for a name that nobody else picks, as hexadecimal text. */
export function randomName(bytes = 6): string {
  return randomBytes(bytes).toString('hex');
}

/** Makes names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces a file as a whole, durably: whoever reads it, at any instant, finds the old or the new contents.
 *
 * A link under the name is replaced, not followed. With a group, it belongs to that from the beginning.
 */
export async function writeAtomically(
  path: string,
  contents: string | Uint8Array,
  mode = 0o600,
  gid?: number,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomName()}.tmp`);
  try {
    const handle = await open(temporary, 'wx', gid === undefined ? mode : 0o600);
    try {
      if (gid !== undefined) await handle.chown(process.geteuid?.() ?? 0, gid);
      await handle.writeFile(contents);
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined); // What matters is the first error; a rest with a dot is harmless.
    throw new Failure('machine', `${path} could not be written: ${errorCode(error) ?? String(error)}`, {
      cause: error,
    });
  }
  await syncDirectory(dirname(path));
}

/**
 * The bytes of a file. It is opened when they are first asked for, so that a stream that nobody reads leaves nothing open.
 *
 * An error is a `machine` failure that names the file; one on its way to a destination is not taken for the destination's.
 */
export async function* readFileBytes(path: string): AsyncIterable<Uint8Array> {
  try {
    const handle = await open(path, 'r');
    try {
      for (;;) {
        const buffer = Buffer.allocUnsafeSlow(1024 * 1024);
        const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, null);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  }
}

/**
 * Opens a file for reading piece by piece into buffers of the caller's, works with it, and closes. An error of the file is a
 * `machine` failure that names it; the work's own is passed on.
 */
export async function withFile<T>(
  path: string,
  work: (fill: (buffer: Uint8Array) => Promise<number>) => Promise<T>,
): Promise<T> {
  const said = (error: unknown) =>
    new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw said(error);
  });
  try {
    return await work(async (buffer) => {
      const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, null).catch((error: unknown) => {
        throw said(error);
      });
      return bytesRead;
    });
  } finally {
    await handle.close();
  }
}

/** Removes a file durably; it may be gone already. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** The names in a folder; none where there is positively no such folder. */
export async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** The text of a file; `undefined` when there positively is none. Anything else is a `machine` failure. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  }
}

/** The contents of a JSON file of ours; `undefined` when there is none, a `damaged` failure when it is not what we write. */
export async function readJson<S extends z.ZodType>(path: string, schema: S): Promise<z.output<S> | undefined> {
  const text = await readText(path);
  return text === undefined ? undefined : parseJson(text, schema, path);
}

/** Parses JSON of ours; `what` names it in the `damaged` failure. */
export function parseJson<S extends z.ZodType>(text: string, schema: S, what: string): z.output<S> {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw new Failure('damaged', `${what} is not JSON`, { cause: error });
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const place = issue === undefined ? '' : ` (${issue.path.join('.')}: ${issue.message})`;
  throw new Failure('damaged', `${what} is not in the format that this version knows${place}`, {
    hint: 'A newer landscape-backup may have written it: use that version, or a copy of the file from before.',
  });
}

/** Writes a value as a JSON file of ours. */
export async function writeJson<S extends z.ZodType>(
  path: string,
  schema: S,
  value: z.output<S>,
  mode = 0o600,
): Promise<void> {
  await writeAtomically(path, formatJson(schema, value), mode);
}

/** The text of a value as we store JSON: two spaces, a newline at the end. */
export function formatJson<S extends z.ZodType>(schema: S, value: z.output<S>): string {
  return `${JSON.stringify(schema.encode(value), null, 2)}\n`;
}

/**
 * Makes a private folder (0700) for another user; root calls it. The folder above is made for root where it is missing.
 *
 * Something else under that name, or another owner, is a `refused` failure: root never follows a link there.
 */
export async function makeOwnedFolder(path: string, owner: { uid: number; gid: number }): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
  const made = await lstat(path);
  // Still root's: made just now, or by a run that did not live to give it away. Its parent is root's, so it is no trap.
  if (made.isDirectory() && made.uid === 0) await lchown(path, owner.uid, owner.gid);
  await syncDirectory(dirname(path));
  const found = await lstat(path);
  if (found.isDirectory() && found.uid === owner.uid) return;
  throw new Failure('refused', `${path} is not a directory of uid ${owner.uid}`, {
    hint: `Look at what it is (ls -ld ${path}); if it is ours: chown ${owner.uid}:${owner.gid} ${path}`,
  });
}
