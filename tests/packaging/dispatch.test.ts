import { execa } from 'execa';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const charm = join(import.meta.dirname, '..', '..', 'charm');

let place: string;

beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), 'lb-dispatch-'));
  await mkdir(join(place, 'charm', 'runtime', 'bin'), { recursive: true });
  await mkdir(join(place, 'tools'));
  await copyFile(join(charm, 'dispatch'), join(place, 'charm', 'dispatch'));
  await writeProgram('charm/runtime/bin/charm', 'echo "program $PWD $$ $JUJU_DISPATCH_PATH" >>"$STORY"');
  for (const tool of ['status-set', 'action-fail', 'juju-log']) {
    await writeProgram(`tools/${tool}`, `echo "${tool} $*" >>"$STORY"`);
  }
  await writeProgram('tools/apt-get', 'echo "apt-get $* proxy=$http_proxy $DEBIAN_FRONTEND" >>"$STORY"; exit 100');
  await node('echo v26.10.0');
});

afterEach(async () => {
  await rm(place, { recursive: true, force: true });
});

async function writeProgram(path: string, body: string): Promise<void> {
  await writeFile(join(place, path), `#!/bin/sh\n${body}\n`);
  await chmod(join(place, path), 0o755);
}

/** Puts a Node in place that does this. */
async function node(body: string): Promise<void> {
  await writeProgram('charm/runtime/bin/node', body);
}

/** Node as the dynamic linker ends it, until the package is there. */
async function nodeLacks(library: string): Promise<void> {
  const said = `./runtime/bin/node: error while loading shared libraries: ${library}: cannot open shared object file`;
  await node(`[ -e "$STORY.${library}" ] && { echo v26.10.0; exit; }; echo "${said}" >&2; exit 127`);
}

/** Runs dispatch as the unit agent does, in its clean environment, and gives back what happened, line by line. */
async function dispatch(path: string, environment: Readonly<Record<string, string>> = {}) {
  const story = join(place, 'story');
  const ran = await execa(join(place, 'charm', 'dispatch'), [], {
    cwd: '/',
    extendEnv: false,
    env: { PATH: `${place}/tools:/usr/bin:/bin`, JUJU_DISPATCH_PATH: path, STORY: story, ...environment },
    reject: false,
  });
  const lines = (await readFile(story, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
  return { exitCode: ran.exitCode, lines };
}

test('it becomes the program of the charm, in the directory of the charm', async () => {
  const story = join(place, 'story');
  const child = execa(join(place, 'charm', 'dispatch'), [], {
    cwd: '/',
    extendEnv: false,
    env: { PATH: `${place}/tools:/usr/bin:/bin`, JUJU_DISPATCH_PATH: 'hooks/start', STORY: story },
  });
  await child;

  expect(await readFile(story, 'utf8')).toBe(`program ${place}/charm ${child.pid ?? ''} hooks/start\n`);
});

test("the program's exit code is its own", async () => {
  await writeProgram('charm/runtime/bin/charm', 'exit 7');

  expect((await dispatch('hooks/start')).exitCode).toBe(7);
});

test('what is missing for Node is installed at install, through the model proxy and asking nothing', async () => {
  await nodeLacks('libatomic.so.1');
  await writeProgram(
    'tools/apt-get',
    'echo "apt-get $* proxy=$http_proxy $DEBIAN_FRONTEND" >>"$STORY"; touch "$STORY.libatomic.so.1"',
  );

  const { exitCode, lines } = await dispatch('hooks/install', { JUJU_CHARM_HTTP_PROXY: 'http://proxy:3128' });

  expect(exitCode).toBe(0);
  expect(lines[0]).toBe('status-set maintenance installing libatomic1');
  expect(lines[1]).toMatch(/^apt-get .*-y .*install .*libatomic1 proxy=http:\/\/proxy:3128 noninteractive$/);
  expect(lines[2]).toMatch(/^program .* hooks\/install$/);
});

test('two missing libraries are both installed, and package lists that are old are fetched once', async () => {
  const missing = (library: string) =>
    `[ -e "$STORY.${library}" ] || { echo "node: ${library}: cannot open" >&2; exit 127; }`;
  await node(`${missing('libatomic.so.1')}; ${missing('libstdc++.so.6')}; echo v26.10.0`);
  await writeProgram(
    'tools/apt-get',
    `echo "apt-get $*" >>"$STORY"
case "$*" in *update*) touch "$STORY.lists";; esac
[ -e "$STORY.lists" ] || exit 100
case "$*" in *libatomic1*) touch "$STORY.libatomic.so.1";; *libstdc++6*) touch "$STORY.libstdc++.so.6";; esac`,
  );

  const { lines } = await dispatch('hooks/install');

  expect(lines.filter((line) => line.includes('update'))).toHaveLength(1);
  expect(lines.at(-1)).toMatch(/^program /);
});

test.each(['hooks/install', 'hooks/upgrade-charm', 'hooks/update-status'])(
  'in %s a library that can not be installed blocks the unit with the command to type, after one try',
  async (hook) => {
    await nodeLacks('libatomic.so.1');

    const { exitCode, lines } = await dispatch(hook);

    expect(exitCode).toBe(0);
    expect(lines.filter((line) => line.startsWith('apt-get')).length).toBeLessThanOrEqual(2);
    expect(lines.at(-1)).toBe(
      'status-set blocked libatomic1 is missing and was not installed: run apt-get install libatomic1 on this machine',
    );
  },
);

test.each(['hooks/config-changed', 'hooks/stop', 'hooks/postgresql-relation-broken', 'hooks/remove'])(
  '%s installs nothing and does not fail where Node can not start',
  async (hook) => {
    await nodeLacks('libatomic.so.1');

    const { exitCode, lines } = await dispatch(hook);

    expect(exitCode).toBe(0);
    expect(lines.join('\n')).not.toContain('apt-get -');
    expect(lines.at(-1)).toMatch(/^status-set blocked libatomic1 is missing/);
  },
);

test('an action that can not start fails with the reason and leaves the status', async () => {
  await nodeLacks('libatomic.so.1');

  const { exitCode, lines } = await dispatch('actions/backup');

  expect(exitCode).toBe(0);
  expect(lines.at(-1)).toMatch(/^action-fail libatomic1 is missing/);
  expect(lines.join('\n')).not.toContain('status-set');
});

test.each([
  [
    'an older C library',
    'echo "./node: /lib/libc.so.6: version \\`GLIBC_2.28\' not found" >&2; exit 1',
    /^status-set blocked this machine's C library is older than 2\.28 \(glibc [\d.]+\): landscape-backup needs Ubuntu 20\.04 or later$/,
  ],
  [
    'another architecture',
    'echo "./dispatch: 12: ./runtime/bin/node: Exec format error" >&2; exit 126',
    /^status-set blocked this charm is packed for another architecture than this machine's \(\w+\): deploy the one for it$/,
  ],
  [
    'anything else',
    'echo "Illegal instruction" >&2; echo more >&2; exit 132',
    /^status-set blocked the Node of this charm does not start: Illegal instruction$/,
  ],
])('%s is said in one sentence', async (_what, body, sentence) => {
  await node(body);

  const { exitCode, lines } = await dispatch('hooks/install');

  expect(exitCode).toBe(0);
  expect(lines.at(-1)).toMatch(sentence);
  expect(lines.join('\n')).not.toContain('apt-get');
});

test('a real file for another processor is recognized', async () => {
  // The first bytes of an ELF file for a processor that nobody has.
  const header = Buffer.from('7f454c460201010000000000000000000200ff7f01', 'hex');
  await writeFile(join(place, 'charm', 'runtime', 'bin', 'node'), Buffer.concat([header, Buffer.alloc(100)]));

  const { lines } = await dispatch('hooks/install');

  expect(lines.at(-1)).toContain('another architecture');
});
