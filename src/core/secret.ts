/**
 * What nobody may read in a log, a result or an error: it shows itself as "(secret)" wherever it is printed.
 *
 * Each one is remembered for the life of the process, so that `redact` finds it in texts that others wrote.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    remember(text);
  }

  /** The text itself, for whoever signs or signs in with it. */
  reveal(): string {
    return this.#text;
  }

  toJSON(): string {
    return shown;
  }

  toString(): string {
    return shown;
  }
}

const shown = '(secret)';
/** Shorter ones would be found in words that have nothing to do with them. */
const shortest = 6;
const known = new Set<string>();

function remember(text: string): void {
  // A key's lines are printed one by one by some programs; its frame is the same in every key.
  const lines = text.split('\n').filter((line) => !line.startsWith('-----'));
  for (const part of [text.trim(), ...lines.map((line) => line.trim())]) {
    if (part.length < shortest) continue;
    known.add(part);
    known.add(encodeURIComponent(part));
  }
}

/** A text without any secret that this process knows, and without a password in a URL, which may hold slashes. */
export function redact(text: string): string {
  let clean = text.replaceAll(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"']*):[^\s@"']+@/gi, `$1:${shown}@`);
  for (const each of known) if (clean.includes(each)) clean = clean.replaceAll(each, shown);
  return clean;
}
