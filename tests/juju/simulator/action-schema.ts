import { Refused } from './refused.ts';

/** The part of JSON Schema, draft 4, that actions use. */
export interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly default?: unknown;
}

const known = new Set([
  'title',
  'description',
  'type',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'enum',
  'pattern',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'default',
]);

/** Refuses a schema that Juju refuses, or that says what the simulator does not check. */
export function checkSchema(schema: Schema, path: string): void {
  for (const key of Object.keys(schema)) {
    if (key === '$ref' || key === '$schema')
      throw new Refused(`schema key "${key}" not compatible with this version of juju`);
    if (!known.has(key)) throw new Refused(`${path} says ${key}, which the simulator does not check`);
  }
  for (const [name, inner] of Object.entries(schema.properties ?? {})) checkSchema(inner, `${path}.${name}`);
  if (schema.items !== undefined) checkSchema(schema.items, `${path}[]`);
  if (schema.default !== undefined) validate(schema, schema.default, path, true);
}

/** Refuses a value that breaks the schema. */
export function validate(schema: Schema, value: unknown, path: string, additional: boolean): void {
  const fail = (why: string): never => {
    throw new Refused(`validation failed: ${path} : ${why}, given ${JSON.stringify(value)}`);
  };
  const type = typeOf(value);
  if (schema.type !== undefined && type !== schema.type && !(schema.type === 'number' && type === 'integer')) {
    fail(`must be of type ${schema.type}`);
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) fail(`must be one of ${JSON.stringify(schema.enum)}`);
  if (typeof value === 'string') checkText(schema, value, fail);
  if (typeof value === 'number') {
    if (schema.minimum !== undefined && value < schema.minimum)
      fail(`must be greater than or equal to ${schema.minimum}`);
    if (schema.maximum !== undefined && value > schema.maximum) fail(`must be less than or equal to ${schema.maximum}`);
  }
  if (Array.isArray(value) && schema.items !== undefined) {
    for (const [n, item] of value.entries()) validate(schema.items, item, `${path}.${n}`, additional);
  }
  if (type === 'object') checkObject(schema, value as Readonly<Record<string, unknown>>, path, additional, fail);
}

function checkText(schema: Schema, value: string, fail: (why: string) => never): void {
  if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
    fail(`does not match "${schema.pattern}"`);
  if (schema.minLength !== undefined && value.length < schema.minLength)
    fail(`must be at least ${schema.minLength} long`);
  if (schema.maxLength !== undefined && value.length > schema.maxLength)
    fail(`must be at most ${schema.maxLength} long`);
}

function checkObject(
  schema: Schema,
  value: Readonly<Record<string, unknown>>,
  path: string,
  additional: boolean,
  fail: (why: string) => never,
): void {
  for (const name of schema.required ?? [])
    if (!Object.hasOwn(value, name)) fail(`"${name}" property is missing and required`);
  for (const [name, inner] of Object.entries(value)) {
    const property = schema.properties?.[name];
    if (property !== undefined) validate(property, inner, `${path}.${name}`, true);
    else if (!(schema.additionalProperties ?? additional)) fail(`additional property "${name}" is not allowed`);
  }
}

/** The value with the schema's defaults put in, as the controller does. */
export function withDefaults(schema: Schema, value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const filled: Record<string, unknown> = { ...value };
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const given = filled[name];
    if (given === undefined && property.default !== undefined) filled[name] = property.default;
    if (typeOf(given) === 'object') filled[name] = withDefaults(property, given as Readonly<Record<string, unknown>>);
  }
  return filled;
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}
