import * as z from 'zod';
import { Failure, isFailure } from '../core/failure.ts';
import { Secret } from '../core/secret.ts';
import { run } from '../system/process.ts';
import type { Bag, HookTools } from './hook-tools.ts';

/** How the tools are run: the environment is added to this process's, where Juju put what the tools need. */
export interface HookToolOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Linux takes no argument of 128 KiB or more, and no more than 2 MiB of them together. */
const argumentLimit = 131_071;
const argumentsLimit = 1024 * 1024;

/** A tool waits for the controller; that it takes longer means that the hook had better be tried again. */
const defaultTimeoutMs = 120_000;

const configSchema = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));
const namesSchema = z.array(z.string()).nullable();
const dataSchema = z.record(z.string(), z.string()).nullable();
const secretSchema = z.record(z.string(), z.string());
const parametersSchema = z.record(z.string(), z.unknown()).nullable();

/** The hook tools as the programs that Juju put on the PATH. */
export function makeHookTools(options: HookToolOptions = {}): HookTools {
  const call = async (tool: string, args: readonly string[], input?: string): Promise<string> => {
    const { stdout } = await run(tool, args, {
      timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(input === undefined ? {} : { input }),
    });
    return stdout;
  };
  const ask = async <T>(schema: z.ZodType<T>, tool: string, ...args: readonly string[]): Promise<T> =>
    parseAnswer(schema, tool, await call(tool, ['--format', 'json', ...args]));

  return {
    configGet: async () => await ask(configSchema, 'config-get'),
    relationIds: async (endpoint) => (await ask(namesSchema, 'relation-ids', endpoint)) ?? [],
    relationUnits: async (id) => (await ask(namesSchema, 'relation-list', '-r', id)) ?? [],
    relationApplication: async (id) =>
      (await ask(z.string().nullable(), 'relation-list', '-r', id, '--app')) ?? undefined,
    relationGet: async (id, bag, member) =>
      (await ask(dataSchema, 'relation-get', '-r', id, ...appFlag(bag), '-', member)) ?? {},
    relationSet: async (id, bag, data) => {
      if (Object.keys(data).length === 0) return;
      await call('relation-set', ['-r', id, ...appFlag(bag), '--file', '-'], exactYaml(data));
    },
    secretGet: async (uri) => {
      const content = await ask(secretSchema, 'secret-get', '--refresh', '--', uri);
      // Whatever is done with them later: from here on they are in no text of ours.
      for (const value of Object.values(content)) void new Secret(value);
      return content;
    },
    isLeader: async () => {
      try {
        return await ask(z.boolean(), 'is-leader');
      } catch (error) {
        if (isFailure(error)) return false;
        throw error;
      }
    },
    statusSet: async (status, message) => {
      await call('status-set', [status, '--', argument(message)]);
    },
    applicationVersionSet: async (version) => {
      await call('application-version-set', ['--', argument(version)]);
    },
    actionGet: async () => (await ask(parametersSchema, 'action-get')) ?? {},
    actionSet: async (results) => {
      for (const args of inCalls(Object.entries(results).map(([name, value]) => argument(`${name}=${value}`)))) {
        await call('action-set', ['--', ...args]);
      }
    },
    actionFail: async (message) => {
      await call('action-fail', ['--', argument(message)]);
    },
    actionLog: async (message) => {
      await call('action-log', ['--', argument(message)]);
    },
    log: async (level, message) => {
      await call('juju-log', ['--log-level', level, '--', argument(message)]);
    },
  };
}

function appFlag(bag: Bag): readonly string[] {
  return bag === 'app' ? ['--app'] : [];
}

function parseAnswer<T>(schema: z.ZodType<T>, tool: string, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw strangeAnswer(tool, error);
  }
  const read = schema.safeParse(value);
  if (!read.success) throw strangeAnswer(tool, read.error);
  return read.data;
}

function strangeAnswer(tool: string, cause: unknown): Failure {
  return new Failure('machine', `Juju's ${tool} gave an answer that is not understood`, {
    hint: 'Juju runs the hook again; if it goes on failing, look at the version of the controller.',
    cause,
  });
}

/** Makes a text that a program can be given: no NUL, and cut at what Linux takes, at the border of a character. */
function argument(text: string): string {
  const clean = text.replaceAll('\0', '');
  const bytes = Buffer.from(clean);
  if (bytes.length <= argumentLimit) return clean;
  const mark = Buffer.from('…');
  let end = argumentLimit - mark.length;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end) + mark.toString();
}

/** Splits a long list of arguments into calls that Linux takes. */
function inCalls(args: readonly string[]): readonly (readonly string[])[] {
  const calls: string[][] = [];
  let room = 0;
  for (const text of args) {
    const size = Buffer.byteLength(text) + 1;
    const last = calls.at(-1);
    if (last === undefined || size > room) {
      calls.push([text]);
      room = argumentsLimit - size;
    } else {
      last.push(text);
      room -= size;
    }
  }
  return calls;
}

/**
 * Texts as JSON that Juju's YAML reader gives back unchanged: it refuses raw control characters and half surrogates, and
 * takes some rare characters for the ends of lines.
 */
function exactYaml(data: Readonly<Record<string, string>>): string {
  const wellFormed = Object.entries(data).map(([name, value]) => [name, value.toWellFormed()] as const);
  return JSON.stringify(Object.fromEntries(wellFormed)).replaceAll(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
