import { ToolError } from './context.ts';

/** What stands on a tool's command line. */
export interface ToolLine {
  readonly flags: ReadonlyMap<string, string>;
  readonly args: readonly string[];
}

/** A flag: whether it takes a value, and what it is called in the result. */
export type FlagSpec = Readonly<Record<string, { readonly name: string; readonly takesValue: boolean }>>;

export const takes = (name: string) => ({ name, takesValue: true });
export const is = (name: string) => ({ name, takesValue: false });

/** Reads flags as Juju's tools do: before, between and behind arguments, until `--`. */
export function parseLine(spec: FlagSpec, given: readonly string[]): ToolLine {
  const flags = new Map<string, string>();
  const args: string[] = [];
  for (let at = 0; at < given.length; at += 1) {
    const text = given[at] ?? '';
    if (text === '--') return { flags, args: [...args, ...given.slice(at + 1)] };
    if (!text.startsWith('-') || text === '-') {
      args.push(text);
      continue;
    }
    const { flag, value } = splitFlag(text);
    const known = spec[flag];
    if (known === undefined) throw new ToolError(2, `option provided but not defined: ${flag}`);
    if (!known.takesValue) {
      flags.set(known.name, value ?? 'true');
      continue;
    }
    const next = value ?? given[(at += 1)];
    if (next === undefined) throw new ToolError(2, `option needs an argument: ${flag}`);
    flags.set(known.name, next);
  }
  return { flags, args };
}

function splitFlag(text: string): { readonly flag: string; readonly value: string | undefined } {
  if (!text.startsWith('--')) {
    return { flag: text.slice(0, 2), value: text.length > 2 ? text.slice(2) : undefined };
  }
  const at = text.indexOf('=');
  return at < 0 ? { flag: text, value: undefined } : { flag: text.slice(0, at), value: text.slice(at + 1) };
}

/** Refuses arguments that are too many. */
export function atMost(count: number, args: readonly string[]): void {
  const more = args.slice(count);
  if (more.length > 0)
    throw new ToolError(2, `unrecognized args: [${more.map((text) => JSON.stringify(text)).join(' ')}]`);
}

/** Reads `key=value` arguments, blanks around both trimmed away. */
export function parsePairs(args: readonly string[]): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const text of args) {
    const at = text.indexOf('=');
    const key = at < 0 ? '' : text.slice(0, at).trim();
    if (key === '') throw new ToolError(2, `expected "key=value", got ${JSON.stringify(text)}`);
    if (Object.hasOwn(pairs, key)) throw new ToolError(2, `key "${key}" specified more than once`);
    pairs[key] = text.slice(at + 1).trim();
  }
  return pairs;
}
