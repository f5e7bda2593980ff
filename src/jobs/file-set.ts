import { createHash } from 'node:crypto';
import { backupId } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import type { FileSet } from '../core/record.ts';
import { listFileSets, storeFileSet } from '../repository/file-sets.ts';
import type { Repository } from '../repository/repository.ts';
import { readTree, type Tree } from '../system/file-tree.ts';
import { randomName } from '../system/files.ts';
import type { Identity } from '../system/identity.ts';
import { start } from '../system/process.ts';

/** What is captured, and as whose. */
export interface FileSetRequest {
  readonly repository: Repository;
  readonly identity: Identity;
  /** Directories and files, absolute. */
  readonly roots: readonly string[];
  /** Says which paths are ours and are left out. */
  readonly isOurs: (path: string) => boolean;
  readonly level: number;
  readonly now: Date;
}

const attempts = 3;
/** Configuration is small; what is larger than this lies in the wrong directory, and would not stay in memory. */
const limitBytes = 32 * 1024 * 1024;

/**
 * Keeps the configuration files as they are now and says which file set holds them: the one that was stored when they were
 * last the same, or a new one.
 *
 * Files that change while they are read are read again; after three times that is a `busy` failure.
 */
export async function captureFileSet(request: FileSetRequest): Promise<FileSet> {
  const { tree, tar } = await readSteadily(request);
  const digest = digestOf(tree);
  const { repository, identity } = request;
  const known = (await listFileSets(repository, identity)).find((set) => set.digest === digest);
  if (known !== undefined) return known;
  const set: FileSet = {
    format: 1,
    id: backupId(request.now, randomName(3)),
    ...identity,
    takenAt: request.now,
    digest,
    files: tree.entries.map(({ path, kind, sizeBytes, mode, owner, group, target }) => ({
      path,
      kind,
      sizeBytes,
      mode,
      owner,
      group,
      target,
    })),
    missing: [...tree.missing],
  };
  await storeFileSet(repository, set, tar, request.level);
  return set;
}

async function readSteadily({ roots, isOurs }: FileSetRequest): Promise<{ tree: Tree; tar: Uint8Array }> {
  let before = await lookAt(roots, isOurs);
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const tar = await makeTar(before);
    const after = await lookAt(roots, isOurs);
    if (digestOf(before) === digestOf(after)) return { tree: before, tar };
    before = after;
  }
  throw new Failure('busy', `the files below ${roots.join(', ')} change all the time`, {
    hint: 'Try again when nobody edits them.',
  });
}

async function lookAt(roots: readonly string[], isOurs: (path: string) => boolean): Promise<Tree> {
  const tree = await readTree(roots, (path) => !isOurs(path));
  const bytes = tree.entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (bytes <= limitBytes) return tree;
  const largest = tree.entries.reduce((a, b) => (b.sizeBytes > a.sizeBytes ? b : a));
  throw new Failure(
    'refused',
    `the configuration below ${roots.join(', ')} holds ${bytes} bytes, more than ${limitBytes}`,
    {
      hint: `Move what is no configuration elsewhere; the largest file is ${largest.path}.`,
    },
  );
}

/** Over everything that a restore puts back: names, kinds, modes, owners, targets and contents. */
function digestOf({ entries, missing }: Tree): string {
  return createHash('sha256')
    .update(JSON.stringify([entries, missing]))
    .digest('hex');
}

/** A tar of exactly these names, with owners by name; links stay links. */
async function makeTar({ entries }: Tree): Promise<Uint8Array> {
  const names = entries.map(({ path }) => path.slice(1));
  // A tar of nothing is a tar too, and `tar` makes none of an empty list without this.
  const list = names.length === 0 ? ['--files-from', '/dev/null'] : ['--', ...names];
  const args = [
    '--create',
    '--format=posix',
    '--no-recursion',
    '--pax-option=delete=atime,delete=ctime',
    '-C',
    '/',
    ...list,
  ];
  const tar = start('tar', args, { timeoutMs: 60_000 });
  const chunks: Buffer[] = [];
  for await (const chunk of tar.stdout ?? []) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  const { exitCode, stderr } = await tar.ended;
  // 1: a file changed while it was read; whether it did is what the caller compares.
  if (exitCode === 0 || exitCode === 1) return Buffer.concat(chunks);
  throw new Failure('machine', `tar could not read the configuration: ${stderr.trim().split('\n').at(-1) ?? ''}`);
}
