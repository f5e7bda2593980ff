import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { expBackoff, retry } from 'zx';
import { Failure, isFailure } from '../core/failure.ts';
import type { Asset, Release, Releases } from './github.ts';

/** A release as it shall be. */
export interface Wanted {
  readonly tag: string;
  readonly commit: string;
  /** Paths; the names of the files are the assets'. */
  readonly files: readonly string[];
}

/** How it is made so. */
export interface Manner {
  /** Only say what would be done. */
  readonly dryRun: boolean;
  readonly say: (line: string) => void;
  /** The pause before the first repetition of a step that GitHub could not do; it doubles. */
  readonly pauseMs?: number;
}

const attempts = 4;

/**
 * Creates the release, or completes the one that is there: what is in it with the same bytes stays, what is missing is
 * uploaded, an upload that broke off is done again, and only then is it published.
 *
 * Other bytes under one of the names, or a tag on another commit, are a `conflict`: nothing is ever overwritten.
 */
export async function completeRelease(releases: Releases, wanted: Wanted, manner: Manner): Promise<void> {
  const step = async <T>(work: () => Promise<T>) => await patiently(work, manner.pauseMs ?? 1000);
  const { tag, commit } = wanted;
  const tagged = await step(async () => await releases.tagCommit(tag));
  if (tagged !== undefined && tagged !== commit) {
    throw new Failure('conflict', `the tag ${tag} is on commit ${tagged}, this is ${commit}`, {
      hint: 'Check out the tag to complete its release, or raise the version in package.json for a new one.',
    });
  }
  const files = await Promise.all(wanted.files.map(readLocal));
  const found = await step(async () => await releases.find(tag));
  const present = found === undefined ? [] : await step(async () => await releases.assets(found));
  // All conflicts are told before anything is touched.
  for (const file of files) if (found !== undefined) await step(async () => await judge(releases, present, file));
  if (manner.dryRun) {
    await rehearse(releases, { tag, commit, found, present, files }, manner.say);
    return;
  }
  const release = found ?? (await step(async () => await findOrCreate(releases, wanted)));
  if (found === undefined) manner.say(`created ${tag} as a draft`);
  for (const file of files) {
    const did = await step(async () => await place(releases, release, file));
    manner.say(`${did} ${file.name}`);
  }
  if (release.isDraft) await step(async () => await releases.publish(release));
  manner.say(`${tag} is complete: ${release.page}`);
}

interface Local {
  readonly name: string;
  readonly bytes: Buffer;
  readonly sha256: string;
}

async function readLocal(path: string): Promise<Local> {
  const bytes = await readFile(path);
  return { name: basename(path), bytes, sha256: sha256(bytes) };
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Repeats a step that GitHub could not do at the moment; each looks at what is there first, so that it may be repeated. */
async function patiently<T>(work: () => Promise<T>, pauseMs: number): Promise<T> {
  const outcome = await retry(attempts, expBackoff(`${pauseMs * 10}ms`, `${pauseMs}ms`), async () => {
    try {
      return { done: await work() };
    } catch (error) {
      if (isFailure(error, 'unavailable')) throw error;
      return { error };
    }
  });
  if ('done' in outcome) return outcome.done;
  throw outcome.error;
}

/** A create that seemed to fail may have been done. */
async function findOrCreate(releases: Releases, { tag, commit, files }: Wanted): Promise<Release> {
  const charms = files.map((path) => basename(path)).filter((name) => name.endsWith('.charm'));
  const lines = charms.map((name) => `    juju deploy ./${name}`);
  const body = `Check what you have downloaded: \`sha256sum --ignore-missing -c SHA256SUMS\`\n\n${lines.join('\n')}\n`;
  return (await releases.find(tag)) ?? (await releases.create(tag, commit, body));
}

type Standing = 'missing' | 'there' | 'broken off';

/** Tells how a file stands in a release. Fails with `conflict` for other bytes under its name. */
async function judge(releases: Releases, assets: readonly Asset[], file: Local): Promise<Standing> {
  const asset = assets.find(({ name }) => name === file.name);
  if (asset === undefined) return 'missing';
  if (!asset.isWhole) return 'broken off';
  if (asset.size === file.bytes.byteLength && asset.sha256 === file.sha256) return 'there';
  if (asset.size <= file.bytes.byteLength) {
    // Without a digest only the bytes tell; and what broke off is the beginning of what it was to be.
    const bytes = await releases.download(asset);
    if (bytes.equals(file.bytes)) return 'there';
    if (bytes.equals(file.bytes.subarray(0, bytes.byteLength))) return 'broken off';
  }
  throw new Failure('conflict', `the release holds another ${file.name}: it has ${asset.size} bytes of its own`, {
    hint: 'Nothing was overwritten. Raise the version in package.json to release what is here.',
  });
}

async function place(releases: Releases, release: Release, file: Local): Promise<string> {
  const assets = await releases.assets(release);
  const standing = await judge(releases, assets, file);
  if (standing === 'there') return 'already there:';
  for (const asset of assets) if (asset.name === file.name) await releases.remove(asset);
  await releases.upload(release, file.name, file.bytes);
  return standing === 'missing' ? 'uploaded' : 'uploaded again after it broke off:';
}

interface Scene extends Omit<Wanted, 'files'> {
  readonly found: Release | undefined;
  readonly present: readonly Asset[];
  readonly files: readonly Local[];
}

const intentions = { missing: 'would upload', there: 'already there:', 'broken off': 'would delete and upload again' };

async function rehearse(releases: Releases, scene: Scene, say: (line: string) => void): Promise<void> {
  const { tag, commit, found, present, files } = scene;
  if (found === undefined) say(`would create ${tag} on ${commit} as a draft`);
  for (const file of files) {
    const standing = await judge(releases, present, file);
    say(`${intentions[standing]} ${file.name} (${file.bytes.byteLength} bytes, sha256 ${file.sha256})`);
  }
  if (found?.isDraft !== false) say(`would publish ${tag}`);
  say('nothing was changed: this was a dry run');
}
