/**
 * `npm run release`: packs, writes SHA-256 sums and a bill of materials, and creates or completes the GitHub release of the
 * version in package.json. It may be repeated; `--dry-run` changes nothing at GitHub and says what it would do.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { environment } from '../system/environment.ts';
import { run } from '../system/process.ts';
import { completeRelease } from './complete-release.ts';
import { openReleases } from './github.ts';
import { packCharm, readPackage } from './pack.ts';
import { readOptions, runProgram } from './program.ts';
import { makeSbom } from './sbom.ts';
import { architectures } from './shipped-node.ts';

/** Makes all files of a release in a folder and gives back their paths. */
async function makeFiles(root: string, into: string): Promise<readonly string[]> {
  await mkdir(into, { recursive: true });
  const charm = await readPackage(root);
  const made: string[] = [];
  for (const architecture of architectures) made.push(await packCharm(root, architecture, into));
  const sbom = join(into, `${charm.name}-${charm.version}.cdx.json`);
  await writeFile(sbom, makeSbom(await readFile(join(root, 'package-lock.json'), 'utf8'), charm));
  return await addSums([...made, sbom], into);
}

/** Adds the file of SHA-256 sums, as `sha256sum -c` reads it. */
async function addSums(files: readonly string[], into: string): Promise<readonly string[]> {
  const lines = await Promise.all(
    files.map(async (path) => {
      const digest = createHash('sha256').update(await readFile(path));
      return `${digest.digest('hex')}  ${basename(path)}\n`;
    }),
  );
  const sums = join(into, 'SHA256SUMS');
  await writeFile(sums, lines.join(''));
  return [...files, sums];
}

/** The commit that is checked out. A release of what nobody can check out is refused. */
async function readCommit(root: string): Promise<string> {
  const { stdout: changed } = await run('git', ['status', '--porcelain'], { cwd: root });
  if (changed !== '') {
    throw new Failure('refused', `the project has changes that are in no commit:\n${changed}`, {
      hint: 'Commit them, or put them away, then release.',
    });
  }
  return (await run('git', ['rev-parse', 'HEAD'], { cwd: root })).stdout.trim();
}

async function release(args: readonly string[]): Promise<void> {
  const values = readOptions(args, { 'dry-run': { type: 'boolean' }, repository: { type: 'string' } });
  const { GITHUB_TOKEN: token, GITHUB_REPOSITORY: named, GITHUB_API_URL: api } = environment.all();
  const repository = values.repository ?? named ?? '';
  const releases = openReleases({ repository, token: token === '' ? undefined : token, api });
  const dryRun = values['dry-run'] === true;
  if (!dryRun && (token ?? '') === '') {
    throw new Failure('usage', 'there is no token for GitHub', {
      hint: 'Put one with the permission "contents: write" into GITHUB_TOKEN, or look first with --dry-run.',
    });
  }
  const root = join(import.meta.dirname, '..', '..');
  const commit = await readCommit(root);
  const { version } = await readPackage(root);
  const files = await makeFiles(root, join(root, 'dist', 'release'));
  const say = (line: string) => {
    process.stdout.write(`${line}\n`);
  };
  await completeRelease(releases, { tag: `v${version}`, commit, files }, { dryRun, say });
}

if (import.meta.main) await runProgram(release);
