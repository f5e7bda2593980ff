/** A YAML mapping. */
export type Mapping = Readonly<Record<string, unknown>>;

/** Tells a mapping from everything else that YAML can hold. */
export function isRecord(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
