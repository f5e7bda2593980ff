import { Octokit } from '@octokit/rest';
import * as z from 'zod';
import { Failure, isFailure } from '../core/failure.ts';

/** A release as far as we look at it. */
export interface Release {
  readonly id: number;
  readonly isDraft: boolean;
  readonly uploadUrl: string;
  readonly page: string;
}

/** A file of a release. */
export interface Asset {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  /** Whether its upload came to its end. */
  readonly isWhole: boolean;
  /** As hexadecimal text, where GitHub tells it. */
  readonly sha256: string | undefined;
}

/** What a release asks of GitHub. Every failure says what was asked and names no token. */
export interface Releases {
  /** The commit that a tag names; `undefined` when there positively is no such tag. */
  tagCommit(tag: string): Promise<string | undefined>;
  /** The release of a tag, a draft too where the token may see it. */
  find(tag: string): Promise<Release | undefined>;
  /** Makes a draft. */
  create(tag: string, commit: string, body: string): Promise<Release>;
  publish(release: Release): Promise<void>;
  assets(release: Release): Promise<readonly Asset[]>;
  download(asset: Asset): Promise<Buffer>;
  remove(asset: Asset): Promise<void>;
  upload(release: Release, name: string, bytes: Buffer): Promise<void>;
}

const errorSchema = z.object({
  status: z.number(),
  message: z.string(),
  response: z.object({ headers: z.record(z.string(), z.unknown()) }).optional(),
});

/** Where the releases are: `owner/name` at the API of GitHub or of its double. */
export interface Place {
  readonly repository: string;
  readonly token: string | undefined;
  readonly api: string | undefined;
}

const quickMs = 60_000;
const uploadMs = 15 * 60_000;

/** Opens a repository's releases; nothing is asked yet. Fails with `usage` where the name is none. */
export function openReleases(place: Place): Releases {
  const [, owner, repo] = /^([\w.-]+)\/([\w.-]+)$/.exec(place.repository) ?? [];
  if (owner !== undefined && repo !== undefined) return new GithubReleases({ owner, repo }, place);
  throw new Failure('usage', `"${place.repository}" is no repository`, {
    hint: 'Write owner/name in GITHUB_REPOSITORY or --repository.',
  });
}

function within(milliseconds = quickMs) {
  return { request: { signal: AbortSignal.timeout(milliseconds) } };
}

const silent = () => undefined;

class GithubReleases implements Releases {
  readonly #at: { readonly owner: string; readonly repo: string };
  readonly #octokit: Octokit;

  constructor(at: { readonly owner: string; readonly repo: string }, { token, api }: Place) {
    this.#at = at;
    this.#octokit = new Octokit({
      ...(token === undefined ? {} : { auth: token }),
      ...(api === undefined ? {} : { baseUrl: api }),
      log: { debug: silent, info: silent, warn: silent, error: silent },
    });
  }

  async tagCommit(tag: string): Promise<string | undefined> {
    const { git } = this.#octokit.rest;
    return await orMissing(async () => {
      const what = `read the tag ${tag}`;
      const named = await this.#ask(
        what,
        async () => await git.getRef({ ...this.#at, ref: `tags/${tag}`, ...within() }),
      );
      const { type, sha } = named.data.object;
      if (type === 'commit') return sha;
      // An annotated tag is an object of its own.
      const noted = await this.#ask(what, async () => await git.getTag({ ...this.#at, tag_sha: sha, ...within() }));
      return noted.data.object.sha;
    });
  }

  async find(tag: string): Promise<Release | undefined> {
    const { repos } = this.#octokit.rest;
    const byTag = { ...this.#at, tag, ...within() };
    const published = await orMissing(
      async () => await this.#ask(`read the release ${tag}`, async () => await repos.getReleaseByTag(byTag)),
    );
    if (published !== undefined) return toRelease(published.data);
    const all = { ...this.#at, per_page: 100, ...within() };
    const listed = await this.#ask(
      'list the releases',
      async () => await this.#octokit.paginate(repos.listReleases, all),
    );
    const draft = listed.find((each) => each.draft && each.tag_name === tag);
    return draft === undefined ? undefined : toRelease(draft);
  }

  async create(tag: string, commit: string, body: string): Promise<Release> {
    const release = { tag_name: tag, target_commitish: commit, name: tag, body, draft: true };
    const parameters = { ...this.#at, ...release, ...within() };
    const { data } = await this.#ask(
      `create the release ${tag}`,
      async () => await this.#octokit.rest.repos.createRelease(parameters),
    );
    return toRelease(data);
  }

  async publish({ id }: Release): Promise<void> {
    const parameters = { ...this.#at, release_id: id, draft: false, ...within() };
    await this.#ask('publish the release', async () => await this.#octokit.rest.repos.updateRelease(parameters));
  }

  async assets({ id }: Release): Promise<readonly Asset[]> {
    const parameters = { ...this.#at, release_id: id, per_page: 100, ...within() };
    const { listReleaseAssets } = this.#octokit.rest.repos;
    const found = await this.#ask(
      'list the assets',
      async () => await this.#octokit.paginate(listReleaseAssets, parameters),
    );
    return found.map(toAsset);
  }

  async download({ id, name }: Asset): Promise<Buffer> {
    const headers = { accept: 'application/octet-stream' };
    const parameters = { ...this.#at, asset_id: id, headers, ...within(uploadMs) };
    const { data } = await this.#ask(
      `read ${name}`,
      async () => await this.#octokit.rest.repos.getReleaseAsset(parameters),
    );
    return Buffer.from(z.instanceof(ArrayBuffer).parse(data));
  }

  async remove({ id, name }: Asset): Promise<void> {
    const parameters = { ...this.#at, asset_id: id, ...within() };
    await this.#ask(`delete ${name}`, async () => await this.#octokit.rest.repos.deleteReleaseAsset(parameters));
  }

  async upload({ uploadUrl }: Release, name: string, data: Buffer): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    const request = { method: 'POST', url: uploadUrl, name, data, headers, ...within(uploadMs) } as const;
    await this.#ask(`upload ${name}`, async () => await this.#octokit.request(request));
  }

  /** Does one request; what GitHub answers instead becomes a failure whose kind says whether trying again helps. */
  async #ask<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const parsed = errorSchema.safeParse(error);
      if (!parsed.success) throw error;
      throw failureOf(`${what} in ${this.#at.owner}/${this.#at.repo}`, parsed.data);
    }
  }
}

function toRelease(data: { id: number; draft: boolean; upload_url: string; html_url: string }): Release {
  return { id: data.id, isDraft: data.draft, uploadUrl: data.upload_url, page: data.html_url };
}

function toAsset(data: { id: number; name: string; size: number; state: string; digest?: string | null }): Asset {
  const sha256 = /^sha256:([0-9a-f]{64})$/.exec(data.digest ?? '')?.[1];
  return { id: data.id, name: data.name, size: data.size, isWhole: data.state === 'uploaded', sha256 };
}

async function orMissing<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isFailure(error, 'missing')) return undefined;
    throw error;
  }
}

function failureOf(what: string, { status, message, response }: z.infer<typeof errorSchema>): Failure {
  const headers = response?.headers ?? {};
  // A network that fails has no answer; the library calls it 500.
  if (status >= 500) {
    const how = response === undefined ? message : `answered ${status}`;
    return new Failure('unavailable', `GitHub could not ${what}: it ${how}`, { hint: 'Run it again: it goes on.' });
  }
  if (status === 401) {
    return new Failure('refused', `GitHub does not accept the token (asked to ${what})`, {
      hint: 'Put a token that is valid into GITHUB_TOKEN; it needs the permission "contents: write".',
    });
  }
  const wait = Number(headers['retry-after'] ?? Number.NaN);
  const isUsedUp = headers['x-ratelimit-remaining'] === '0';
  if ((status === 403 || status === 429) && (isUsedUp || Number.isFinite(wait))) {
    const reset = Number(headers['x-ratelimit-reset'] ?? Number.NaN) * 1000;
    const from = isUsedUp && Number.isFinite(reset) ? reset : Date.now() + (Number.isFinite(wait) ? wait : 60) * 1000;
    const when = new Date(from).toISOString().replace(/\.\d+Z$/, 'Z');
    return new Failure('busy', `GitHub's rate limit is used up until ${when} (asked to ${what})`, {
      hint: `Run it again after ${when}: it goes on where it stopped.`,
    });
  }
  if (status === 404) {
    return new Failure('missing', `GitHub could not ${what}: it is not there`, {
      hint: 'Is the name of the repository right, and may the token see it?',
    });
  }
  return new Failure('refused', `GitHub refused to ${what}: ${status} ${message}`, {
    hint: 'The token needs "contents: write" in that repository, and the commit has to be pushed.',
  });
}
