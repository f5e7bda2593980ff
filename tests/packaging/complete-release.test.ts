import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toFailure, type Failure } from '../../src/core/failure.ts';
import { completeRelease } from '../../src/packaging/complete-release.ts';
import { openReleases } from '../../src/packaging/github.ts';
import { GithubApi } from '../doubles/github-api.ts';

const commit = 'a'.repeat(40);
const tag = 'v1.0.0';
const contents = { 'one.charm': 'the first charm', 'two.charm': 'the second charm', SHA256SUMS: 'sums' };
type Name = keyof typeof contents;
const bytesOf = (name: Name) => Buffer.from(contents[name]);

let github: GithubApi;
let api: string;
let place: string;
let said: string[];

beforeEach(async () => {
  github = new GithubApi();
  api = await github.start();
  place = await mkdtemp(join(tmpdir(), 'lb-release-'));
  said = [];
  for (const [name, text] of Object.entries(contents)) await writeFile(join(place, name), text);
});

afterEach(async () => {
  await github.stop();
  await rm(place, { recursive: true, force: true });
});

interface Asked {
  readonly dryRun?: boolean;
  readonly token?: string | undefined;
  readonly repository?: string;
}

async function release({ dryRun = false, repository = 'owner/project', ...asked }: Asked = {}): Promise<void> {
  const token = 'token' in asked ? asked.token : github.token;
  const files = Object.keys(contents).map((name) => join(place, name));
  const say = (line: string) => said.push(line);
  await completeRelease(openReleases({ repository, token, api }), { tag, commit, files }, { dryRun, say, pauseMs: 1 });
}

async function refusal(asked: Asked = {}): Promise<Failure> {
  try {
    await release(asked);
  } catch (error) {
    return toFailure(error);
  }
  throw new Error('it was released');
}

/** What the only release holds now. */
function held(): Readonly<Record<string, string>> {
  expect(github.releases).toHaveLength(1);
  const assets = github.releases[0]?.assets ?? [];
  return Object.fromEntries(assets.map(({ name, bytes, state }) => [name, `${bytes.toString()}|${state}`]));
}

const complete = Object.fromEntries(Object.entries(contents).map(([name, text]) => [name, `${text}|uploaded`]));

test('a new release is published with every file, on the commit', async () => {
  await release();

  expect(held()).toEqual(complete);
  expect(github.releases[0]).toMatchObject({ tag_name: tag, target_commitish: commit, draft: false });
  expect(github.releases[0]?.body).toContain('juju deploy ./one.charm');
  expect(said.at(-1)).toContain(`${tag} is complete: https://`);
});

test('it is public only when it is whole', async () => {
  github.fault = ({ method, path }) =>
    method === 'POST' && path.includes('name=SHA256SUMS') ? { status: 422 } : undefined;

  await refusal();

  expect(github.releases[0]?.draft).toBe(true);
});

test('a second run finds all of it and changes nothing', async () => {
  await release();
  const before = github.changes.length;

  await release();

  expect(github.changes).toHaveLength(before);
  expect(said.filter((line) => line.startsWith('already there:'))).toHaveLength(3);
});

test('a tag that somebody pushed before is released', async () => {
  github.tags.set(tag, commit);

  await release();

  expect(held()).toEqual(complete);
});

test('a tag on another commit is a conflict, and nothing is touched', async () => {
  github.tags.set(tag, 'b'.repeat(40));

  const { kind, message } = await refusal();

  expect(kind).toBe('conflict');
  expect(message).toContain(`the tag ${tag} is on commit bbbb`);
  expect(github.changes).toEqual([]);
});

test.each([true, false])('a release that is there gets what it lacks only (draft: %s)', async (draft) => {
  const found = github.addRelease(tag, commit, draft);
  const kept = github.addAsset(found, 'one.charm', bytesOf('one.charm'));
  github.addAsset(found, 'notes.txt', Buffer.from('of somebody'));

  await release();

  expect(held()).toEqual({ ...complete, 'notes.txt': 'of somebody|uploaded' });
  expect(found.assets).toContain(kept);
  expect(found.draft).toBe(false);
});

test('without digests the bytes are compared', async () => {
  github.tellsDigests = false;
  const found = github.addRelease(tag, commit);
  const kept = github.addAsset(found, 'one.charm', bytesOf('one.charm'));

  await release();

  expect(found.assets).toContain(kept);
  expect(held()).toEqual(complete);
});

test.each([
  ['starter', Buffer.alloc(0)],
  ['starter', Buffer.from('the fir')],
  ['uploaded', Buffer.from('the fir')],
  ['uploaded', Buffer.alloc(0)],
] as const)('an upload that broke off (%s, "%s") is done again', async (state, bytes) => {
  const found = github.addRelease(tag, commit);
  github.addAsset(found, 'one.charm', bytes, state);

  await release();

  expect(held()).toEqual(complete);
  expect(said).toContain('uploaded again after it broke off: one.charm');
});

test.each(['THE FIRST CHARM', 'the first charm and more', 'other'])(
  'other bytes ("%s") are a conflict: they stay, and nothing is touched',
  async (text) => {
    for (const tellsDigests of [true, false]) {
      github.releases.length = 0;
      github.tellsDigests = tellsDigests;
      github.addAsset(github.addRelease(tag, commit), 'one.charm', Buffer.from(text));

      const { kind, message, hint } = await refusal();

      expect(kind).toBe('conflict');
      expect(message).toContain(`another one.charm: it has ${text.length} bytes`);
      expect(hint).toContain('Nothing was overwritten');
      expect(held()).toEqual({ 'one.charm': `${text}|uploaded` });
      expect(github.changes).toEqual([]);
    }
  },
);

test('an asset behind a hundred others is found', async () => {
  const found = github.addRelease(tag, commit);
  for (let i = 0; i < 100; i += 1) github.addAsset(found, `other-${i}`, Buffer.from('x'));
  const kept = github.addAsset(found, 'one.charm', bytesOf('one.charm'));

  await release();

  expect(found.assets).toContain(kept);
  expect(found.assets).toHaveLength(103);
});

describe('a dry run', () => {
  test('says everything that it would do and changes nothing', async () => {
    await release({ dryRun: true });

    expect(github.changes).toEqual([]);
    expect(said).toEqual([
      `would create ${tag} on ${commit} as a draft`,
      expect.stringMatching(/^would upload one\.charm \(15 bytes, sha256 [0-9a-f]{64}\)$/),
      expect.stringMatching(/^would upload two\.charm/),
      expect.stringMatching(/^would upload SHA256SUMS/),
      `would publish ${tag}`,
      'nothing was changed: this was a dry run',
    ]);
  });

  test('says what is there and what broke off', async () => {
    const found = github.addRelease(tag, commit);
    github.addAsset(found, 'one.charm', bytesOf('one.charm'));
    github.addAsset(found, 'two.charm', Buffer.from('the'), 'starter');

    await release({ dryRun: true });

    expect(github.changes).toEqual([]);
    expect(said.map((line) => line.replace(/ \(.*/, ''))).toEqual([
      'already there: one.charm',
      'would delete and upload again two.charm',
      'would upload SHA256SUMS',
      'nothing was changed: this was a dry run',
    ]);
  });

  test('needs no token', async () => {
    await release({ dryRun: true, token: undefined });

    expect(said.at(-1)).toContain('dry run');
  });

  test('finds a conflict as the real run would', async () => {
    github.addAsset(github.addRelease(tag, commit), 'one.charm', Buffer.from('other'));

    expect((await refusal({ dryRun: true })).kind).toBe('conflict');
  });
});

describe('what GitHub says instead', () => {
  test('401: the token is not accepted; it is not shown, and not tried twice', async () => {
    const { kind, message, hint } = await refusal({ token: 'ghp_secretsecretsecret' });

    expect(kind).toBe('refused');
    expect(message).toContain('does not accept the token');
    expect(hint).toContain('GITHUB_TOKEN');
    expect(`${message}${hint ?? ''}${said.join('')}`).not.toContain('ghp_');
    expect(github.requests).toHaveLength(1);
  });

  test('403 with a limit that is used up: it says until when, and does not try on', async () => {
    const reset = Date.UTC(2026, 10, 25, 12, 30) / 1000;
    github.fault = () => ({
      status: 403,
      headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(reset) },
    });

    const { kind, message, hint } = await refusal();

    expect(kind).toBe('busy');
    expect(message).toContain('rate limit is used up until 2026-11-25T12:30:00Z');
    expect(hint).toContain('2026-11-25T12:30:00Z');
    expect(github.requests).toHaveLength(1);
  });

  test.each([403, 429])('%i with a pause that GitHub asks for: it says until when', async (status) => {
    github.fault = () => ({ status, headers: { 'retry-after': '60' } });

    const { kind, message } = await refusal();

    const until = Date.parse(/until (\S+)/.exec(message)?.[1] ?? '');
    expect(kind).toBe('busy');
    expect(Math.abs(until - Date.now() - 60_000)).toBeLessThan(5_000);
  });

  test('403 for want of a right: the right is named', async () => {
    github.fault = ({ method }) => (method === 'POST' ? { status: 403 } : undefined);

    const { kind, hint } = await refusal();

    expect(kind).toBe('refused');
    expect(hint).toContain('contents: write');
  });

  test('404: the repository is named', async () => {
    const { kind, message } = await refusal({ repository: 'owner/other' });

    expect(kind).toBe('missing');
    expect(message).toContain('owner/other');
  });

  test.each([500, 502, 503])('%i once for every request: it goes on, and nothing is there twice', async (status) => {
    const failed = new Set<string>();
    github.fault = ({ method, path }) => {
      if (failed.has(method + path)) return undefined;
      failed.add(method + path);
      return { status };
    };

    await release();

    expect(held()).toEqual(complete);
  });

  test('a 502 for what was done all the same does not do it twice', async () => {
    const failed = new Set<string>();
    github.fault = ({ method, path }) => {
      if (method === 'GET' || failed.has(path)) return undefined;
      failed.add(path);
      return { status: 502, thenDo: true };
    };

    await release();

    expect(held()).toEqual(complete);
    expect(github.releases[0]?.draft).toBe(false);
  });

  test('an upload that breaks off and leaves its beginning is done again at once', async () => {
    let failed = false;
    github.fault = ({ method, path, body }) => {
      const [found] = github.releases;
      if (failed || method !== 'POST' || !path.includes('name=two.charm') || found === undefined) return undefined;
      failed = true;
      github.addAsset(found, 'two.charm', body.subarray(0, 3), 'starter');
      return { status: 502 };
    };

    await release();

    expect(held()).toEqual(complete);
  });

  test('503 without end: it stops after a few tries and says that it may be run again', async () => {
    github.fault = () => ({ status: 503 });

    const { kind, message, hint } = await refusal();

    expect(kind).toBe('unavailable');
    expect(message).toContain('answered 503');
    expect(hint).toContain('Run it again');
    expect(github.requests).toHaveLength(4);
  });

  test('no network: it is unavailable, with the reason', async () => {
    await github.stop();

    const { kind, message } = await refusal();

    expect(kind).toBe('unavailable');
    expect(message).toMatch(/ECONNREFUSED|fetch failed|connect/);
  });
});

test.each(['', 'project', 'owner/', 'a/b/c', 'https://github.com/owner/project'])(
  'the repository "%s" is none, and nobody is asked',
  async (repository) => {
    const { kind, hint } = await refusal({ repository });

    expect(kind).toBe('usage');
    expect(hint).toContain('owner/name');
    expect(github.requests).toEqual([]);
  },
);
