import { FAILSAFE_SCHEMA, load } from 'js-yaml';
import { z } from 'zod';
import type { Bag, LogLevel } from '../../../src/juju/hook-tools.ts';
import { relationId, ToolError, type HookContext } from './context.ts';
import { readSecret } from './secrets.ts';
import { format } from './tool-format.ts';
import { atMost, is, parseLine, parsePairs, takes, type FlagSpec, type ToolLine } from './tool-flags.ts';
import type { Behaviour } from './versions.ts';

/** What a tool says. */
export interface ToolAnswer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A call of a tool; `input` is what the file of `--file` holds. */
interface ToolCall {
  readonly context: HookContext;
  readonly line: ToolLine;
  readonly input: string | undefined;
}

interface Tool {
  readonly flags: FlagSpec;
  /** Whether it prints a value, and how unless `--format` says otherwise. */
  readonly prints?: string;
  readonly isThere?: (behaviour: Behaviour) => boolean;
  run(call: ToolCall): unknown;
}

const relation: FlagSpec = { '-r': takes('relation'), '--relation': takes('relation') };
const application: FlagSpec = { '--app': is('app') };
const file: FlagSpec = { '--file': takes('file') };

/** Every tool that the simulator has, by its name. */
const tools: Readonly<Record<string, Tool>> = {
  'config-get': {
    flags: { '-a': is('all'), '--all': is('all') },
    prints: 'smart',
    run: ({ context, line: { flags, args } }) => {
      atMost(1, args);
      const [key] = args;
      if (key !== undefined && flags.has('all')) throw new ToolError(2, 'cannot use argument --all together with key');
      if (flags.has('all')) return context.configAll();
      return key === undefined ? context.configGet() : (context.configGet()[key] ?? null);
    },
  },
  'relation-ids': {
    flags: {},
    prints: 'smart',
    run: ({ context, line: { args } }) => {
      atMost(1, args);
      const endpoint = args[0] ?? viewOf(context)?.side.endpoint.name;
      if (endpoint === undefined) throw new ToolError(2, 'no endpoint name specified');
      return context.relationIds(endpoint);
    },
  },
  'relation-list': {
    flags: { ...relation, ...application },
    prints: 'smart',
    run: ({ context, line }) => {
      atMost(0, line.args);
      const id = relationOf(context, line);
      return line.flags.has('app') ? context.relationApplication(id) : context.relationList(id);
    },
  },
  'relation-get': { flags: { ...relation, ...application }, prints: 'smart', run: relationGet },
  'relation-set': {
    flags: { ...relation, ...application, ...file },
    run: ({ context, line, input }) => {
      const id = relationOf(context, line);
      const data = { ...parseFile(input), ...parsePairs(line.args) };
      context.relationSet(id, line.flags.has('app') ? 'app' : 'unit', data);
      return undefined;
    },
  },
  'relation-model-get': {
    flags: relation,
    prints: 'smart',
    isThere: ({ major }) => major > 2,
    run: ({ context, line }) => {
      context.view(relationOf(context, line));
      return { uuid: context.model.uuid };
    },
  },
  'status-set': {
    flags: { '--application': is('application') },
    run: ({ context, line: { flags, args } }) => {
      const [status, message = ''] = args;
      if (status === undefined) throw new ToolError(2, 'invalid args, require <status> [message]');
      atMost(2, args);
      if (flags.has('application') && !context.isLeader()) throw new ToolError(1, 'not the leader');
      if (!flags.has('application')) context.statusSet(status, message);
      return undefined;
    },
  },
  'status-get': {
    flags: { '--include-data': is('data'), '--application': is('application') },
    prints: 'smart',
    run: ({ context, line: { flags } }) => {
      const { status, message } = context.unit.workload;
      return flags.has('data') ? { status, message, 'status-data': {} } : { status };
    },
  },
  'application-version-set': {
    flags: {},
    run: ({ context, line: { args } }) => {
      if (args[0] === undefined) throw new ToolError(2, 'no version specified');
      atMost(1, args);
      context.applicationVersionSet(args[0]);
      return undefined;
    },
  },
  'action-get': {
    flags: {},
    prints: 'smart',
    run: ({ context, line: { args } }) => {
      atMost(1, args);
      let value: unknown = context.actionGet();
      for (const part of args[0]?.split('.') ?? []) value = (value as Record<string, unknown> | null)?.[part] ?? null;
      return value;
    },
  },
  'action-set': {
    flags: {},
    run: ({ context, line: { args } }) => {
      const results = args.map((text) => {
        const at = text.indexOf('=');
        if (at < 0) throw new ToolError(2, `argument ${JSON.stringify(text)} must be of the form key...=value`);
        return [text.slice(0, at), text.slice(at + 1)] as const;
      });
      context.actionSet(Object.fromEntries(results));
      return undefined;
    },
  },
  'action-fail': {
    flags: {},
    run: ({ context, line: { args } }) => {
      atMost(1, args);
      context.actionFail(args[0] ?? 'action failed without reason given, check action for errors');
      return undefined;
    },
  },
  'action-log': {
    flags: {},
    run: ({ context, line: { args } }) => {
      if (args.length === 0) throw new ToolError(2, 'no message specified');
      context.actionLog(args.join(' '));
      return undefined;
    },
  },
  'is-leader': { flags: {}, prints: 'smart', run: ({ context }) => context.isLeader() },
  'leader-get': {
    flags: {},
    prints: 'smart',
    isThere: ({ leaderSettings }) => leaderSettings,
    run: ({ context, line: { args } }) => {
      const all = Object.fromEntries(context.unit.application.leaderSettings);
      return args[0] === undefined || args[0] === '-' ? all : (all[args[0]] ?? null);
    },
  },
  'leader-set': {
    flags: {},
    isThere: ({ leaderSettings }) => leaderSettings,
    run: ({ context, line: { args } }) => {
      if (!context.isLeader()) throw new ToolError(1, 'cannot write leadership settings: not the leader');
      for (const [key, value] of Object.entries(parsePairs(args)))
        context.unit.application.leaderSettings.set(key, value);
      return undefined;
    },
  },
  'state-get': {
    flags: { '--strict': is('strict') },
    prints: 'smart',
    run: ({ context, line: { flags, args } }) => {
      const state = context.stateGet();
      const [key] = args;
      if (key === undefined || key === '-') return Object.keys(state).length === 0 ? null : state;
      if (flags.has('strict') && state[key] === undefined) throw new ToolError(1, `"${key}" not found`);
      return state[key] ?? '';
    },
  },
  'state-set': {
    flags: file,
    run: ({ context, line: { args }, input }) => {
      for (const [key, value] of Object.entries({ ...parseFile(input), ...parsePairs(args) }))
        context.stateSet(key, value);
      return undefined;
    },
  },
  'state-delete': {
    flags: {},
    run: ({ context, line: { args } }) => {
      context.stateSet(args[0] ?? '', undefined);
      return undefined;
    },
  },
  'juju-log': {
    flags: { '-l': takes('level'), '--log-level': takes('level'), '--debug': is('debug') },
    run: ({ context, line: { flags, args } }) => {
      if (args.length === 0) throw new ToolError(2, 'no message specified');
      const level = flags.has('debug') ? 'DEBUG' : (flags.get('level') ?? 'INFO').toUpperCase();
      const view = viewOf(context);
      const prefix = view === undefined ? '' : `${relationId(view)}: `;
      context.log(levels.has(level) ? (level as LogLevel) : 'INFO', prefix + args.join(' '));
      return undefined;
    },
  },
  'unit-get': { flags: {}, prints: 'smart', run: ({ context }) => context.unit.address },
  'network-get': {
    flags: {
      ...relation,
      '--bind-address': is('bind'),
      '--ingress-address': is('ingress'),
      '--egress-subnets': is('egress'),
    },
    prints: 'smart',
    run: ({ context, line: { flags } }) => {
      const { address } = context.unit;
      if (flags.has('bind') || flags.has('ingress')) return address;
      const addresses = [{ hostname: '', value: address, cidr: '10.0.0.0/24' }];
      return {
        'bind-addresses': [{ 'mac-address': '00:16:3e:00:00:01', 'interface-name': 'eth0', addresses }],
        'egress-subnets': [`${address}/32`],
        'ingress-addresses': [address],
      };
    },
  },
  'storage-list': { flags: {}, prints: 'smart', run: () => [] },
  'opened-ports': { flags: {}, prints: 'smart', run: () => [] },
  'secret-get': {
    flags: { '--peek': is('peek'), '--refresh': is('refresh') },
    prints: 'yaml',
    isThere: ({ secrets }) => secrets,
    run: ({ context, line: { flags, args } }) => {
      atMost(2, args);
      const [uri, key] = args;
      if (uri === undefined) throw new ToolError(2, 'require either a secret URI or label');
      if (flags.has('peek') && flags.has('refresh'))
        throw new ToolError(2, 'specify one of --peek or --refresh but not both');
      const how = flags.has('peek') ? 'peek' : flags.has('refresh') ? 'refresh' : 'pinned';
      const content = readSecret(context.unit, uri, how);
      if (key === undefined) return content;
      const value = content[key];
      if (value === undefined) throw new ToolError(1, `key "${key}" not found`);
      return value;
    },
  },
  'secret-ids': { flags: {}, prints: 'smart', isThere: ({ secrets }) => secrets, run: () => null },
};

const levels = new Set(['TRACE', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL']);

/** The names of the tools that a version of Juju puts on the PATH. */
export function toolNames(behaviour: Behaviour): readonly string[] {
  return Object.entries(tools).flatMap(([name, tool]) => (tool.isThere?.(behaviour) === false ? [] : [name]));
}

/** Runs a tool as its program does. */
export function runTool(context: HookContext, name: string, args: readonly string[], input?: string): ToolAnswer {
  const tool = tools[name];
  if (tool === undefined || tool.isThere?.(context.model.behaviour) === false) {
    return { exitCode: 1, stdout: '', stderr: `ERROR bad request: unknown command "${name}"\n` };
  }
  try {
    const formats: FlagSpec = { '--format': takes('format'), '-o': takes('output'), '--output': takes('output') };
    // Tools that print nothing know the flag of old, and do nothing with it.
    const line = parseLine({ ...tool.flags, ...formats }, args);
    const how = line.flags.get('format') ?? tool.prints ?? 'smart';
    const value = tool.run({ context, line, input });
    return { exitCode: 0, stdout: tool.prints === undefined ? '' : format(value, how), stderr: '' };
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    return { exitCode: error.exitCode, stdout: '', stderr: `ERROR ${error.message}\n` };
  }
}

function viewOf({ operation }: HookContext) {
  return operation.kind === 'hook' ? operation.view : undefined;
}

function relationOf(context: HookContext, { flags }: ToolLine): string {
  const given = flags.get('relation');
  if (given !== undefined) {
    context.view(given);
    return given;
  }
  const view = viewOf(context);
  if (view === undefined) throw new ToolError(2, 'no relation id specified');
  return relationId(view);
}

function relationGet({ context, line }: ToolCall): unknown {
  atMost(2, line.args);
  const id = relationOf(context, line);
  const [key = '-', member = remoteOf(context)] = line.args;
  if (member === undefined) throw new ToolError(2, 'no unit or application specified');
  const bag: Bag = line.flags.has('app') || !member.includes('/') ? 'app' : 'unit';
  const data = context.relationGet(id, bag, bag === 'app' ? (member.split('/')[0] ?? '') : member);
  return key === '-' ? data : (data[key] ?? null);
}

function remoteOf({ operation }: HookContext): string | undefined {
  if (operation.kind !== 'hook') return undefined;
  return operation.remoteUnit?.name ?? operation.view?.remote.application.name;
}

function parseFile(input: string | undefined): Record<string, string> {
  if (input === undefined || input.trim() === '') return {};
  let content: unknown;
  try {
    content = load(input, { schema: FAILSAFE_SCHEMA });
  } catch (error) {
    throw new ToolError(1, `yaml: ${error instanceof Error ? error.message : String(error)}`);
  }
  const read = z.record(z.string(), z.string()).safeParse(content ?? {});
  if (!read.success) throw new ToolError(1, 'yaml: unmarshal errors: cannot unmarshal into string');
  return read.data;
}
