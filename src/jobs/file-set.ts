import { createHash } from 'node:crypto';
import { backupId } from '../core/backup.ts';
import { Failure, isFailure } from '../core/failure.ts';
import type { FileSet, LandscapeFacts } from '../core/record.ts';
import { listFileSets, storeFileSet } from '../repository/file-sets.ts';
import type { Repository } from '../repository/repository.ts';
import { readTree, type Tree, type TreeEntry } from '../system/file-tree.ts';
import { randomName } from '../system/files.ts';
import type { Identity } from '../system/identity.ts';
import { writeTar } from '../system/tar-writer.ts';
import { makeMeter, type ReportProgress } from './job-progress.ts';

/** What is captured, and as whose. */
export interface FileSetRequest {
  readonly repository: Repository;
  readonly identity: Identity;
  /** Directories and files, absolute; they are looked for below `root`. */
  readonly paths: readonly string[];
  readonly root?: string;
  /** Says which paths are ours and are left out. */
  readonly isOurs: (path: string) => boolean;
  /** Where more lies than this, it is refused: what is larger is no configuration. */
  readonly limitBytes?: number;
  readonly level: number;
  readonly now: Date;
  readonly landscape?: LandscapeFacts;
  /** Told how far it is: the files are read twice, once for their digest. */
  readonly progress?: ReportProgress;
}

const attempts = 3;
/** A cluster's configuration is small; what is larger than this lies in the wrong directory. */
const configurationLimit = 32 * 1024 * 1024;
/** The record names every file and is read as a whole. */
const mostFiles = 100_000;

/**
 * Keeps the configuration files as they are now and says which file set holds them: the one that was stored when they were
 * last the same, or a new one (`isNew`).
 *
 * Files that change while they are read are read again; after three times that is a `busy` failure. Nothing is held in memory
 * but the list of names.
 */
export async function captureFileSet(
  request: FileSetRequest,
): Promise<{ readonly set: FileSet; readonly isNew: boolean }> {
  const known = await listFileSets(request.repository, request.identity);
  const newest = known.toSorted((a, b) => a.takenAt.getTime() - b.takenAt.getTime()).at(-1);
  for (let attempt = 1; ; attempt += 1) {
    const tree = await lookAt(request);
    const digest = digestOf(tree, request.landscape);
    // An older set with the same contents does not say that they came back: a restore takes the newest before a moment.
    if (newest?.digest === digest) return { set: newest, isNew: false };
    const set = recordOf(request, tree, digest);
    try {
      await storeFileSet(request.repository, set, tellingTar(request, tree), request.level);
      return { set, isNew: true };
    } catch (error) {
      if (!isFailure(error, 'busy')) throw error;
      if (attempt === attempts) throw restless(request.paths, error);
    }
  }
}

/** Makes the tar, each time the next of the phases of its being stored. */
function tellingTar({ root, progress = () => undefined }: FileSetRequest, tree: Tree): () => AsyncIterable<Uint8Array> {
  const phases = ['reading the files', 'storing the files'];
  const bytes = sizeOf(tree);
  return async function* () {
    const tell = makeMeter(phases.shift() ?? '', bytes, () => performance.now(), progress);
    let done = 0;
    for await (const chunk of writeTar(root ?? '/', tree.entries)) {
      yield chunk;
      done += chunk.byteLength;
      // The tar is a little larger than what lies in it.
      if (done < bytes) tell(done);
    }
    tell(bytes);
  };
}

function sizeOf({ entries }: Tree): number {
  return entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function restless(paths: readonly string[], cause: Failure): Failure {
  return new Failure('busy', `the files below ${paths.join(', ')} change all the time: ${cause.message}`, {
    hint: 'Try again when nobody edits them.',
    cause,
  });
}

function recordOf({ identity, now, landscape }: FileSetRequest, tree: Tree, digest: string): FileSet {
  return {
    format: 1,
    id: backupId(now, randomName(3)),
    ...identity,
    takenAt: now,
    digest,
    files: tree.entries.map(({ sha256: _sha256, modifiedAt: _modifiedAt, ...told }) => told),
    missing: [...tree.missing],
    ...(landscape === undefined ? {} : { landscape }),
  };
}

async function lookAt({ paths, root, isOurs, limitBytes = configurationLimit }: FileSetRequest): Promise<Tree> {
  const tree = await readTree({ root: root ?? '/', paths, isWanted: (path) => !isOurs(path) });
  const bytes = sizeOf(tree);
  if (bytes <= limitBytes && tree.entries.length <= mostFiles) return tree;
  const where = `below ${paths.join(', ')}`;
  if (bytes <= limitBytes) {
    throw new Failure('refused', `${where} lie ${tree.entries.length} files, more than ${mostFiles}`, {
      hint: 'A file set is for configuration: name smaller directories.',
    });
  }
  const largest = tree.entries.reduce((a, b) => (b.sizeBytes > a.sizeBytes ? b : a));
  throw new Failure('refused', `the configuration ${where} holds ${bytes} bytes, more than ${limitBytes}`, {
    hint: `Move what is no configuration elsewhere; the largest file is ${largest.path}.`,
  });
}

/** Over everything that a restore puts back: names, kinds, modes, owners, targets and contents. */
function digestOf({ entries, missing }: Tree, landscape: LandscapeFacts | undefined): string {
  const told = entries.map(({ modifiedAt: _modifiedAt, ...entry }): Omit<TreeEntry, 'modifiedAt'> => entry);
  return createHash('sha256')
    .update(JSON.stringify(landscape === undefined ? [told, missing] : [told, missing, landscape]))
    .digest('hex');
}
