import { execa } from 'execa';
import { dump } from 'js-yaml';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseEnvironment, type JujuEnvironment } from '../../src/juju/environment.ts';
import { makeHookTools } from '../../src/juju/hook-tool-programs.ts';
import { until } from '../setup/wait.ts';
import type { Model } from './simulator/model.ts';
import { ProcessFace } from './simulator/processes.ts';
import { Simulator } from './simulator/simulator.ts';
import { idle, on, toy, toyFiles, type Toy } from './toy-charm.ts';

let root = '';
let charm = '';
let face: ProcessFace;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lbj-'));
  charm = join(root, 'toy');
  face = new ProcessFace({ directory: join(root, 'm') });
  await writeCharm(charm, ':');
});

afterEach(async () => {
  await face.close();
  await rm(root, { recursive: true, force: true });
});

/** Writes a charm whose dispatch is this shell text. */
async function writeCharm(directory: string, script: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const [name, content] of Object.entries(toyFiles))
    await writeFile(join(directory, `${name}.yaml`), dump(content));
  const file = join(directory, 'dispatch');
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}

/** A dispatch that does this in one event and nothing in others. */
function only(event: string, script: string): string {
  return `case $JUJU_DISPATCH_PATH in */${event}) ;; *) exit 0 ;; esac\n${script}`;
}

async function world(
  script: string,
  { version = '3.6.27', settles = true } = {},
): Promise<{ sim: Simulator; model: Model }> {
  await writeCharm(charm, script);
  const sim = new Simulator({ version });
  const model = sim.addModel('production', { proxies: { http: 'http://proxy:3128' } });
  model.deployPrincipal('postgresql', { charm: idle('postgresql') });
  await model.deploySubordinate('toy', { charmDirectory: charm, processes: face });
  model.integrate('toy:postgresql', 'postgresql');
  if (settles) await sim.settle();
  return { sim, model };
}

/** A file that the charm has written for the test. */
async function written(name: string): Promise<string> {
  return await readFile(join(root, name), 'utf8');
}

/** What the same charm is told in the same event in this process. */
async function environmentInProcess(): Promise<JujuEnvironment | undefined> {
  let told: JujuEnvironment | undefined;
  const sim = new Simulator();
  const model = sim.addModel('production', { proxies: { http: 'http://proxy:3128' } });
  model.deployPrincipal('postgresql', { charm: idle('postgresql') });
  const tells: Toy = async (environment) => {
    told = environment;
  };
  await model.deploySubordinate('toy', toy(on('postgresql-relation-joined', tells)));
  model.integrate('toy:postgresql', 'postgresql');
  await sim.settle();
  return told;
}

async function appears(name: string): Promise<void> {
  await until(`${name} is there`, async () => (await readdir(root)).includes(name));
}

function executable(model: Model): string {
  return join(face.directoryOf(model.unit('toy/0').machine), 'bin', model.state.behaviour.execProgram);
}

describe('the process', () => {
  test('has exactly the environment of Juju, no home, no input, and the charm as its directory', async () => {
    const { model } = await world(
      only('postgresql-relation-joined', `/usr/bin/env -0 >${root}/env; pwd >${root}/pwd; cat >${root}/input`),
    );
    const lines = (await written('env')).split('\0').slice(0, -1);
    const variables = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    const directory = face.charmDirectoryOf(model.unit('toy/0'));

    expect(variables).toEqual({
      APT_LISTCHANGES_FRONTEND: 'none',
      CHARM_DIR: directory,
      CLOUD_API_VERSION: '',
      DEBIAN_FRONTEND: 'noninteractive',
      JUJU_AGENT_SOCKET_ADDRESS: join(directory, '..', 'agent.socket'),
      JUJU_AGENT_SOCKET_NETWORK: 'unix',
      JUJU_API_ADDRESSES: '10.0.0.1:17070',
      JUJU_AVAILABILITY_ZONE: '',
      JUJU_CHARM_DIR: directory,
      JUJU_CHARM_FTP_PROXY: '',
      JUJU_CHARM_HTTPS_PROXY: '',
      JUJU_CHARM_HTTP_PROXY: 'http://proxy:3128',
      JUJU_CHARM_NO_PROXY: '',
      JUJU_CONTEXT_ID: expect.stringMatching(/^toy\/0-postgresql-relation-joined-[0-9a-f]{32}$/),
      JUJU_DISPATCH_PATH: 'hooks/postgresql-relation-joined',
      JUJU_HOOK_NAME: 'postgresql-relation-joined',
      JUJU_MACHINE_ID: '0',
      JUJU_MODEL_NAME: 'production',
      JUJU_MODEL_UUID: model.uuid,
      JUJU_PRINCIPAL_UNIT: 'postgresql/0',
      JUJU_RELATION: 'postgresql',
      JUJU_RELATION_ID: 'postgresql:1',
      JUJU_REMOTE_APP: 'postgresql',
      JUJU_REMOTE_UNIT: 'postgresql/0',
      JUJU_SLA: 'unsupported',
      JUJU_UNIT_NAME: 'toy/0',
      JUJU_VERSION: '3.6.27',
      LANG: 'C.UTF-8',
      PATH: `${join(root, 'm', 'production-0', 'tools', 'unit-toy-0')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      // The shell sets it itself.
      PWD: directory,
      TERM: 'tmux-256color',
    });
    expect(await written('pwd')).toBe(`${directory}\n`);
    expect(await written('input')).toBe('');
    expect(parseEnvironment(variables)).toEqual({ ...(await environmentInProcess()), charmDirectory: directory });
  });

  test('what it prints goes to the log, and long lines are split', async () => {
    const { model } = await world(only('start', `echo out; echo err >&2; printf '%05000d' 0`));

    expect(model.logOf('toy/0')).toEqual([
      { level: 'DEBUG', text: 'out' },
      { level: 'DEBUG', text: '0'.repeat(4096) },
      { level: 'DEBUG', text: '0'.repeat(904) },
      { level: 'WARNING', text: 'err' },
    ]);
  });

  test('without the x bit is a failed hook', async () => {
    const { sim, model } = await world(':', { settles: false });
    await chmod(join(charm, 'dispatch'), 0o644);
    await sim.settle();

    expect(model.statusOf('toy/0').message).toBe('hook failed: "install"');
  });

  test('where there is no dispatch, hooks and actions have their own programs, and those that miss are skipped', async () => {
    const { sim, model } = await world(':', { settles: false });
    await rm(join(charm, 'dispatch'));
    await mkdir(join(charm, 'hooks'));
    await writeFile(join(charm, 'hooks', 'start'), '#!/bin/sh\nstatus-set active started\n', { mode: 0o755 });
    await sim.settle();

    expect(model.statusOf('toy/0')).toMatchObject({ status: 'active', message: 'started' });
    expect(await model.run('toy/0', 'act')).toMatchObject({ message: 'action not implemented on unit "toy/0"' });
  });

  test('writes are committed with 0 and dropped otherwise, and what the tools said at once stays', async () => {
    const script = `relation-set -r peers:0 wrote=x; status-set maintenance at-once; [ -e ${root}/ok ]`;
    const { sim, model } = await world(only('config-changed', script));
    expect(model.bagOf('toy/0', 'peers')).not.toHaveProperty('wrote');
    expect(model.unit('toy/0').workload.message).toBe('at-once');

    await writeFile(join(root, 'ok'), '');
    await sim.settle();
    expect(model.bagOf('toy/0', 'peers')).toHaveProperty('wrote', 'x');
  });

  test('a child that is left behind finds its context gone and its pipe closed', async () => {
    const script = `( sleep 0.4; is-leader >${root}/late 2>&1; echo $? >>${root}/late; echo done >${root}/end ) &`;
    const { model } = await world(only('start', script));
    await appears('end');

    expect(await written('late')).toContain('ERROR ');
    expect(await written('late')).toMatch(/\n1\n$/);
    expect(model.statusOf('toy/0').agent).toBe('idle');
  });
});

describe('actions', () => {
  test('have their own variables, their output among their results, and their table of ends', async () => {
    const { model } = await world(
      only(
        'act',
        `[ -z "$JUJU_HOOK_NAME" ]; action-set a="$JUJU_ACTION_NAME $JUJU_ACTION_UUID $JUJU_ACTION_TAG" l="$(action-get label)"; echo out; echo err >&2; exit 4`,
      ),
    );

    expect(await model.run('toy/0', 'act', { label: '<x>' })).toEqual({
      status: 'failed',
      message: 'exit status 4',
      results: { a: 'act 1 action-1', l: '<x>', stdout: 'out\n', stderr: 'err\n', 'return-code': 4 },
      log: [],
      exitCode: 1,
    });
  });

  test('cancelled: only the process itself is killed, what it started lives on', async () => {
    const script = `( sleep 0.5; echo lives >${root}/child ) >/dev/null 2>&1 & action-set a=b; echo up >${root}/up; sleep 30`;
    const { model } = await world(only('act', script));
    const task = model.start('toy/0', 'act');
    await appears('up');

    model.cancel('toy/0', task);

    expect(await task.finished).toMatchObject({ status: 'aborted', message: 'terminated', results: { a: 'b' } });
    await appears('child');
  });
});

describe('the agent is killed', () => {
  test('with all that its hook has started, and the hook runs again', async () => {
    const script = `if [ ! -e ${root}/up ]; then ( sleep 0.5; echo lives >${root}/child ) & echo up >${root}/up; sleep 30; fi; relation-set -r peers:0 ran=again`;
    const { sim, model } = await world(only('start', script), { settles: false });
    const settled = sim.settle();
    await appears('up');

    model.killAgent('toy/0');
    await settled;
    await new Promise((resolve) => setTimeout(resolve, 700));

    const ends = model.unit('toy/0').history.filter(({ name }) => name === 'start');
    expect(ends.map(({ end }) => end)).toEqual(['crashed', 'done']);
    expect(model.bagOf('toy/0', 'peers')).toHaveProperty('ran', 'again');
    expect(await readdir(root)).not.toContain('child');
  });
});

describe('juju-exec', () => {
  test.each([
    ['3.6.27', 'juju-exec'],
    ['2.9.49', 'juju-run'],
  ])(
    'on %s is %s: it runs a command as a hook of the unit, and what that wrote is committed',
    async (version, name) => {
      const { model } = await world(only('job-ended', `relation-set -r peers:0 woken="[$JUJU_HOOK_NAME]"; echo said`), {
        version,
      });
      const dispatch = join(face.charmDirectoryOf(model.unit('toy/0')), 'dispatch');
      expect(executable(model)).toMatch(new RegExp(`/${name}$`));

      const script = `JUJU_DISPATCH_PATH=hooks/job-ended ${dispatch}`;
      const ran = await execa(executable(model), ['-u', 'toy/0', script], { env: {}, extendEnv: false });

      expect(ran.stdout).toBe('said');
      expect(model.bagOf('toy/0', 'peers')).toHaveProperty('woken', '[]');
    },
  );

  test('may also be told by the test', async () => {
    const { sim, model } = await world(only('job-ended', `relation-set -r peers:0 woken="[$JUJU_HOOK_NAME]"`));

    model.wake('toy/0', 'job-ended');
    await sim.settle();

    expect(model.bagOf('toy/0', 'peers')).toHaveProperty('woken', '[]');
  });

  test('waits for the unit and for its machine', async () => {
    const { model } = await world(only('act', `echo up >${root}/up; sleep 0.5; echo action >>${root}/order`));
    const task = model.start('toy/0', 'act');
    await appears('up');

    await execa(executable(model), ['toy/0', `echo command >>${root}/order`]);

    expect(await written('order')).toBe('action\ncommand\n');
    expect((await task.finished).status).toBe('completed');
  });

  test('ends with the exit code of the command', async () => {
    const { model } = await world(':');

    const ran = await execa(executable(model), ['toy/0', 'echo no >&2; exit 7'], { reject: false });
    expect([ran.exitCode, ran.stderr]).toEqual([7, 'no']);
  });

  test.each<[string, readonly string[], Record<string, string>, string, number]>([
    ['within a hook', ['toy/0', ':'], { JUJU_CONTEXT_ID: 'toy/0-start-0' }, 'cannot be called from within a hook', 1],
    ['for a unit of elsewhere', ['toy/9', ':'], {}, 'not found on this machine', 1],
    ['without a unit', [], {}, 'missing unit-name', 2],
    ['without a command', ['toy/0'], {}, 'missing commands', 2],
  ])('%s is an error', async (_what, args, env, said, exitCode) => {
    const { model } = await world(':');
    const ran = await execa(executable(model), args, { env, reject: false });

    expect(ran.exitCode).toBe(exitCode);
    expect(ran.stderr).toMatch(new RegExp(`^ERROR .*${said}`));
  });
});

describe("the charm's files", () => {
  test('a refresh replaces them, removes what only the old charm had, and keeps what the charm has made', async () => {
    const { sim, model } = await world(only('install', 'echo state >kept; mkdir -p old; echo state >old/lost'), {
      settles: false,
    });
    await mkdir(join(charm, 'old'));
    await writeFile(join(charm, 'old', 'file'), '');
    await sim.settle();
    const next = join(root, 'next');
    await writeCharm(next, ':');
    await writeFile(join(next, 'new'), '');

    await model.refresh('toy', { charmDirectory: next, processes: face });
    await sim.settle();

    const names = (await readdir(face.charmDirectoryOf(model.unit('toy/0')))).sort();
    expect(names).toEqual(['actions.yaml', 'config.yaml', 'dispatch', 'kept', 'metadata.yaml', 'new']);
  });

  test('are gone with the unit', async () => {
    const { sim, model } = await world(':');
    const unit = model.unit('toy/0');
    model.removeApplication('toy');
    await sim.settle();

    await expect(stat(face.charmDirectoryOf(unit))).rejects.toThrow('ENOENT');
    expect(await readdir(join(root, 'm', 'production-0', 'tools'))).toEqual(['juju-tool']);
  });
});

test('a machine may see its folder elsewhere, and have programs run by somebody else', async () => {
  const seen: string[] = [];
  face = new ProcessFace({
    directory: join(root, 'm'),
    seenAs: () => '/var/lib/juju',
    execute:
      () =>
      async (argv, { cwd, env }) => {
        seen.push(`${argv.join(' ')} in ${cwd} with ${env['JUJU_AGENT_SOCKET_ADDRESS']}`);
        return { exitCode: 0, signal: null, stdout: '', stderr: '' };
      },
  });
  await world(':');

  const agent = '/var/lib/juju/agents/unit-toy-0';
  expect(seen[0]).toBe(`${agent}/charm/dispatch in ${agent}/charm with ${agent}/agent.socket`);
});

test('the charm gets the same answers from programs as in this process', async () => {
  const script = only(
    'act',
    `/usr/bin/env -0 >${root}/env; echo >${root}/up; while [ ! -e ${root}/go ]; do sleep 0.05; done`,
  );
  const { model } = await world(script);
  const task = model.start('toy/0', 'act', { label: 'x' });
  await appears('up');
  const lines = (await written('env')).split('\0').slice(0, -1);
  const env = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  const tools = makeHookTools({ env });
  const exact = ` -x\n"'<&é\u0001\u007f\u2028${'y'.repeat(200_000)} `;

  expect(await tools.configGet()).toEqual({ text: 'a <b> & c', count: 7, flag: false });
  expect(await tools.relationIds('peers')).toEqual(['peers:0']);
  expect(await tools.relationIds('none')).toEqual([]);
  expect(await tools.relationUnits('postgresql:1')).toEqual(['postgresql/0']);
  expect(await tools.relationApplication('postgresql:1')).toBe('postgresql');
  expect(await tools.isLeader()).toBe(true);
  expect(await tools.actionGet()).toEqual({ label: 'x' });
  await tools.relationSet('peers:0', 'unit', { exact });
  await tools.relationSet('peers:0', 'app', { all: '--app' });
  expect(await tools.relationGet('peers:0', 'unit', 'toy/0')).toMatchObject({ exact });
  expect(await tools.relationGet('peers:0', 'app', 'toy')).toEqual({ all: '--app' });
  await tools.statusSet('blocked', '--say it');
  await tools.applicationVersionSet('1.2');
  await tools.actionSet({ 'a.b': '-1 =', long: 'é'.repeat(100_000) });
  await tools.actionLog('-half');
  await tools.actionFail('-no');
  await tools.log('ERROR', '-l');
  await expect(tools.relationGet('peers:9', 'app', 'toy')).rejects.toMatchObject({ kind: 'machine' });
  const told = async (variables: Record<string, string>) =>
    await execa(join(env['PATH']?.split(':')[0] ?? '', 'is-leader'), [], {
      env: variables,
      extendEnv: false,
      reject: false,
    });
  const { JUJU_CONTEXT_ID: id = '', ...others } = env;
  expect(await told(others)).toMatchObject({ exitCode: 1, stderr: 'ERROR JUJU_CONTEXT_ID not set' });
  expect(await told({ ...others, JUJU_CONTEXT_ID: 'toy/0-old' })).toMatchObject({
    exitCode: 1,
    stderr: `ERROR bad request: expected context id "${id}", got "toy/0-old"`,
  });
  await writeFile(join(root, 'go'), '');

  const result = await task.finished;
  expect(result).toMatchObject({ status: 'failed', message: '-no', log: ['-half'], results: { a: { b: '-1 =' } } });
  expect(String(result.results['long'])).toMatch(/^é{60000,}…$/);
  expect(model.bagOf('toy/0', 'peers')).toHaveProperty('exact', exact);
  expect(model.bagOf('toy', 'peers')).toEqual({ all: '--app' });
  expect(model.statusOf('toy/0')).toMatchObject({ status: 'blocked', message: '--say it', version: '1.2' });
  expect(model.logOf('toy/0')).toContainEqual({ level: 'ERROR', text: '-l' });
  await expect(tools.configGet()).rejects.toMatchObject({ kind: 'machine' });
});
