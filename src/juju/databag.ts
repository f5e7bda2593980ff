import * as z from 'zod';
import type { RelationData } from './hook-tools.ts';

/** What a bag holds under a name. */
type FieldValue<T> =
  | { readonly state: 'absent' }
  /** Something is there that another version of us wrote, or somebody by hand: neither value nor nothing. */
  | { readonly state: 'unreadable'; readonly text: string }
  | { readonly state: 'value'; readonly value: T };

/** A typed value in a bag, as JSON under one name. */
export interface Field<T> {
  readonly name: string;
  read(bag: RelationData): FieldValue<T>;
  /** The value, or `undefined` where there is none or none that we understand. */
  value(bag: RelationData): T | undefined;
  /** What `relationSet` is given; `undefined` deletes. Equal values give equal texts, so that writing again wakes nobody. */
  write(value: T | undefined): RelationData;
}

/** Makes a field from its name and the schema of its value. */
export function field<T>(name: string, schema: z.ZodType<T>): Field<T> {
  const read = (bag: RelationData): FieldValue<T> => {
    const text = bag[name] ?? '';
    if (text === '') return { state: 'absent' };
    const json = parseJson(text);
    const parsed = json === undefined ? undefined : schema.safeParse(json.value);
    return parsed?.success === true ? { state: 'value', value: parsed.data } : { state: 'unreadable', text };
  };
  return {
    name,
    read,
    value: (bag) => {
      const found = read(bag);
      return found.state === 'value' ? found.value : undefined;
    },
    write: (value) => ({ [name]: value === undefined ? '' : sortedJson(z.encode(schema, value)) }),
  };
}

function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_name, inner: unknown) =>
    isPlainObject(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
