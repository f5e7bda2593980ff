/**
 * A plan's id, from the SHA-256 of its decisions in hexadecimal: 16 digits, the first of them a letter.
 *
 * `juju run … confirm=<plan id>` reads the value as YAML, where 16 digits, or `12e4567…`, would be a number and no id.
 */
export function planIdOf(digest: string): string {
  const first = 'abcdef'.charAt(Number.parseInt(digest.charAt(0), 16) % 6);
  return `${first}${digest.slice(1, 16)}`;
}

/** Tells whether a text can be a plan's id: it becomes a file's name. */
export function isPlanId(text: string): boolean {
  return /^[a-f][0-9a-f]{15}$/.test(text);
}
