import { createHash } from 'node:crypto';
import { open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../core/failure.ts';
import { restoreRule, type LandscapeProfile } from '../../core/landscape-profile.ts';
import { stagedSchema, type LandscapePlan, type Staged, type WantedFile } from '../../core/landscape-restore.ts';
import type { FileSet } from '../../core/record.ts';
import { readFence } from '../../landscape/fence.ts';
import { listFileSets, readFileSet } from '../../repository/file-sets.ts';
import type { Repository } from '../../repository/repository.ts';
import { readJson, syncDirectory, writeJson } from '../../system/files.ts';
import { makePrivateFolder } from '../../system/home.ts';
import type { TarMember } from '../../system/tar-header.ts';
import { readTar, type TarSink } from '../../system/tar-stream.ts';
import { restoreFolder, type LandscapeContext } from './context.ts';
import { refuseNoRoom } from './facts.ts';

/** What has been staged for a plan; `undefined` as long as that is not complete. */
export async function readStaged(
  context: Pick<LandscapeContext, 'unit'>,
  plan: LandscapePlan,
): Promise<Staged | undefined> {
  return await readJson(join(restoreFolder(context, plan.planId).staging, 'staged.json'), stagedSchema);
}

/**
 * Fetches the files of a plan's set that a restore places here, into root's own folder, and proves every byte.
 *
 * The record comes last: a run that was killed begins again. What has been staged is not fetched again, so that later stages
 * need no destination. Null for a plan without files.
 */
export async function stageFiles(
  context: LandscapeContext,
  plan: LandscapePlan,
  openRepository: () => Promise<Repository>,
): Promise<Staged | null> {
  if (plan.fileSet === null) return null;
  const before = await readStaged(context, plan);
  if (before !== undefined) return before;
  const repository = await openRepository();
  const set = await findSet(repository, plan.fileSet);
  const folder = restoreFolder(context, plan.planId).staging;
  await forgetOthers(context);
  await rm(folder, { recursive: true, force: true });
  await makePrivateFolder(folder);
  const files = wantedOf(set, plan.profile);
  await refuseNoRoom(
    context,
    files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  );
  const stage = new Stage(folder, files);
  await readTar(chunksOf(readFileSet(repository, set)), stage);
  const staged: Staged = {
    format: 1,
    planId: plan.planId,
    fileSet: plan.fileSet,
    version: set.landscape?.version ?? null,
    serviceConfiguration: configurationOf(set),
    files: [...stage.proven()],
  };
  await syncDirectory(folder);
  await writeJson(join(folder, 'staged.json'), stagedSchema, staged);
  return staged;
}

/** What was staged for plans that never came to anything; only what the fence stands for is still needed. */
async function forgetOthers({ unit }: LandscapeContext): Promise<void> {
  const fenced = (await readFence({ folder: unit.path }))?.planId;
  await makePrivateFolder(unit.restore);
  for (const entry of await readdir(unit.restore, { withFileTypes: true })) {
    if (entry.isDirectory() && entry.name !== fenced)
      await rm(join(unit.restore, entry.name), { recursive: true, force: true });
  }
}

async function findSet(repository: Repository, name: NonNullable<LandscapePlan['fileSet']>): Promise<FileSet> {
  const set = (await listFileSets(repository, name)).find(({ id }) => id === name.id);
  if (set?.landscape !== undefined) return set;
  const fault = set === undefined ? 'is not in' : 'is none of a Landscape unit in';
  throw new Failure('missing', `the file set ${name.id} of ${name.unit} ${fault} ${repository.storage.url}`, {
    hint: 'landscape-backup list-files shows those that are there.',
  });
}

type Told = FileSet['files'][number] & Pick<WantedFile, 'rule'>;

/** The files of a set that a restore touches; what is only kept for a person stays in the repository. */
function wantedOf(set: FileSet, profile: LandscapeProfile): readonly Told[] {
  return set.files.flatMap((file) => {
    const rule = restoreRule(file.path, profile, configurationOf(set));
    return rule === 'reference' ? [] : [{ ...file, rule }];
  });
}

function configurationOf({ landscape }: FileSet): string {
  return landscape?.serviceConfiguration ?? '';
}

async function* chunksOf(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Buffer> {
  for await (const chunk of bytes) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

/** Writes the members of a tar that are wanted, each under a number of its own: no name from outside is used here. */
class Stage implements TarSink {
  readonly #folder: string;
  readonly #files: ReadonlyMap<string, { readonly told: Told; readonly number: number }>;
  readonly #done = new Map<string, WantedFile>();
  #open: { readonly handle: FileHandle; readonly told: Told; readonly staged: string } | undefined;
  #hash = createHash('sha256');

  constructor(folder: string, files: readonly Told[]) {
    this.#folder = folder;
    this.#files = new Map(files.map((told, number) => [told.path, { told, number }]));
  }

  async begin({ path, kind }: TarMember): Promise<void> {
    const known = this.#files.get(`/${path}`);
    if (known === undefined) return;
    if (known.told.kind !== kind) throw this.#other(path);
    if (kind !== 'file') return this.#keep(known.told, null, null);
    const staged = String(known.number);
    this.#open = { handle: await open(join(this.#folder, staged), 'wx', 0o600), told: known.told, staged };
    this.#hash = createHash('sha256');
  }

  async data(bytes: Buffer): Promise<void> {
    if (this.#open === undefined) return;
    this.#hash.update(bytes);
    await this.#open.handle.writeFile(bytes);
  }

  async end(): Promise<void> {
    if (this.#open === undefined) return;
    const { handle, told, staged } = this.#open;
    this.#open = undefined;
    await handle.sync();
    await handle.close();
    this.#keep(told, staged, this.#hash.digest('hex'));
  }

  /** Everything that was wanted, in the order of the set. Fails with `damaged` when the tar does not hold all of it. */
  proven(): readonly WantedFile[] {
    return [...this.#files.keys()].map((path) => {
      const file = this.#done.get(path);
      if (file === undefined) throw this.#other(path.slice(1));
      return file;
    });
  }

  #keep({ path, kind, mode, owner, group, target, rule }: Told, staged: string | null, sha256: string | null): void {
    this.#done.set(path, { path, kind, mode, owner, group, target, sha256, staged, rule });
  }

  #other(path: string): Failure {
    return new Failure('damaged', `the file set's tar and its record tell different things about /${path}`, {
      hint: 'Take another file set: landscape-backup list-files.',
    });
  }
}
