import { load } from 'js-yaml';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { checkSchema, type Schema } from './action-schema.ts';
import { Refused } from './refused.ts';
import { isAtLeast, type Behaviour } from './versions.ts';

/** An endpoint as `metadata.yaml` declares it. */
export interface Endpoint {
  readonly name: string;
  readonly interface: string;
  readonly role: 'provides' | 'requires' | 'peers';
  readonly scope: 'global' | 'container';
  readonly limit: number | undefined;
}

/** An option as `config.yaml` declares it. */
export interface Option {
  readonly type: 'string' | 'int' | 'float' | 'boolean' | 'secret';
  readonly default?: string | number | boolean | undefined;
}

/** An action as `actions.yaml` declares it. */
interface Action {
  readonly parallel: boolean;
  readonly executionGroup: string | undefined;
  readonly schema: Schema;
}

/** What Juju reads of a charm. */
export interface Charm {
  readonly name: string;
  readonly subordinate: boolean;
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  readonly options: ReadonlyMap<string, Option>;
  readonly actions: ReadonlyMap<string, Action>;
  readonly assumes: readonly unknown[];
}

const nameRule = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;

const relationSchema = z
  .union([
    z.string().transform((name) => ({ interface: name, scope: 'global' as const, limit: undefined })),
    z.looseObject({
      interface: z.string(),
      scope: z.enum(['global', 'container']).default('global'),
      limit: z.number().int().optional(),
    }),
  ])
  .transform(({ interface: name, scope, limit }) => ({ interface: name, scope, limit }));
const relationsSchema = z.record(z.string(), relationSchema).default({});

const metadataSchema = z.looseObject({
  name: z.string(),
  summary: z.string(),
  description: z.string(),
  subordinate: z.boolean().default(false),
  provides: relationsSchema,
  requires: relationsSchema,
  peers: relationsSchema,
  assumes: z.array(z.unknown()).default([]),
});

const configSchema = z.looseObject({
  options: z.record(
    z.string(),
    z.looseObject({
      type: z.enum(['string', 'int', 'float', 'boolean', 'secret']).default('string'),
      default: z.union([z.string(), z.number(), z.boolean()]).nullish(),
    }),
  ),
});

const actionsSchema = z.record(
  z.string(),
  z.looseObject({
    description: z.string().optional(),
    title: z.string().optional(),
    params: z
      .record(
        z.string(),
        z.custom<Schema>((value) => typeof value === 'object' && value !== null),
      )
      .default({}),
    required: z.array(z.string()).default([]),
    parallel: z.boolean().default(false),
    'execution-group': z.string().optional(),
  }),
);

/** A charm's files as values, as a YAML reader gives them. */
export interface CharmFiles {
  readonly metadata: unknown;
  readonly config?: unknown;
  readonly actions?: unknown;
}

/** Reads the files of a charm's directory. */
export async function readCharmFiles(directory: string): Promise<CharmFiles> {
  const read = async (name: string): Promise<unknown> => {
    try {
      return load(await readFile(join(directory, name), 'utf8'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  };
  const metadata = await read('metadata.yaml');
  if (metadata === undefined) throw new Refused(`charm ${directory} has no metadata.yaml`);
  return { metadata, config: await read('config.yaml'), actions: await read('actions.yaml') };
}

/** Reads a charm as Juju does, and refuses what Juju refuses. */
export function parseCharm(files: CharmFiles, behaviour: Behaviour): Charm {
  const metadata = metadataSchema.parse(files.metadata);
  const endpoints = new Map<string, Endpoint>();
  for (const role of ['provides', 'requires', 'peers'] as const) {
    for (const [name, relation] of Object.entries(metadata[role])) {
      if (endpoints.has(name))
        throw new Refused(`charm "${metadata.name}" using a duplicated relation name: "${name}"`);
      checkReserved(metadata, name, role, relation);
      endpoints.set(name, { name, role, ...relation });
    }
  }
  const isContained = ({ role, scope }: Endpoint) => role === 'requires' && scope === 'container';
  if (metadata.subordinate && ![...endpoints.values()].some(isContained)) {
    throw new Refused(`subordinate charm "${metadata.name}" lacks "requires" relation with container scope`);
  }
  if (!metadata.assumes.every((item) => isMet(item, behaviour.version))) {
    throw new Refused(`charm "${metadata.name}" cannot be deployed: it assumes ${JSON.stringify(metadata.assumes)}`);
  }
  return {
    name: metadata.name,
    subordinate: metadata.subordinate,
    endpoints,
    options: parseOptions(files.config, behaviour),
    actions: parseActions(files.actions),
    assumes: metadata.assumes,
  };
}

function checkReserved(
  metadata: { readonly name: string; readonly subordinate: boolean },
  name: string,
  role: Endpoint['role'],
  relation: { readonly interface: string; readonly scope: string },
): void {
  const reserved = (text: string) => text === 'juju' || text.startsWith('juju-');
  const excused = metadata.subordinate && role === 'requires' && relation.scope === 'container';
  if (reserved(name) && !excused)
    throw new Refused(`charm "${metadata.name}" using a reserved relation name: "${name}"`);
  if (reserved(relation.interface) && role !== 'requires') {
    throw new Refused(
      `charm "${metadata.name}" relation "${name}" using a reserved interface: "${relation.interface}"`,
    );
  }
}

function isMet(item: unknown, version: string): boolean {
  if (typeof item === 'string') {
    const [, operator, other = ''] = /^juju\s*(>=|<)\s*([\d.]+)$/.exec(item) ?? [];
    if (operator === undefined) return item === 'juju';
    return (operator === '>=') === isAtLeast(version, other);
  }
  const [[key, inner] = []] = Object.entries(item as Readonly<Record<string, readonly unknown[]>>);
  if (inner !== undefined && key === 'any-of') return inner.some((one) => isMet(one, version));
  if (inner !== undefined && key === 'all-of') return inner.every((one) => isMet(one, version));
  throw new Refused(`assumes says ${JSON.stringify(item)}`);
}

function parseOptions(raw: unknown, behaviour: Behaviour): ReadonlyMap<string, Option> {
  if (raw === undefined) return new Map();
  const { options } = configSchema.parse(raw);
  return new Map(
    Object.entries(options).map(([name, { type, default: value }]) => {
      if (type === 'secret' && !behaviour.secrets)
        throw new Refused(`invalid config: option "${name}" has unknown type "secret"`);
      if (value === undefined || value === null) return [name, { type }];
      checkValue(name, type, value);
      return [name, { type, default: value }];
    }),
  );
}

/** Refuses a value that is not of the option's type. */
export function checkValue(name: string, type: Option['type'], value: string | number | boolean): void {
  const right =
    type === 'int'
      ? Number.isInteger(value)
      : type === 'float'
        ? typeof value === 'number'
        : type === 'boolean'
          ? typeof value === 'boolean'
          : typeof value === 'string' && (type !== 'secret' || value === '' || value.startsWith('secret:'));
  if (!right) throw new Refused(`option "${name}" expected ${type}, got ${JSON.stringify(value)}`);
}

function parseActions(raw: unknown): ReadonlyMap<string, Action> {
  const actions = new Map<string, Action>();
  for (const [name, action] of Object.entries(actionsSchema.parse(raw ?? {}))) {
    if (!nameRule.test(name) || name === 'juju' || name.startsWith('juju-'))
      throw new Refused(`bad action name ${name}`);
    const { params, required, parallel, 'execution-group': executionGroup, ...rest } = action;
    const schema: Schema = { ...rest, type: 'object', properties: params, required };
    checkSchema(schema, name);
    for (const parameter of Object.keys(params)) {
      if (!nameRule.test(parameter))
        throw new Refused(`action ${name}: no command line can give the parameter ${parameter}`);
    }
    actions.set(name, { parallel, executionGroup, schema });
  }
  return actions;
}

/** Parameters as `juju run u/0 name label=x count=3` gives them: each value is read as YAML. */
export function parseArguments(args: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    args.map((text) => {
      const at = text.indexOf('=');
      const name = text.slice(0, at);
      if (at < 1 || !name.split('.').every((part) => nameRule.test(part))) {
        throw new Refused(`argument "${text}" must be of the form key.key.key...=value`);
      }
      const value = text.slice(at + 1);
      return [name, value.trim() === '' ? '' : load(value)];
    }),
  );
}
