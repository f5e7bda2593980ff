import { Failure } from './failure.ts';

/** One stretch of the file, with its line's end: what is not understood is kept as it stands. */
type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'section'; readonly section: string; readonly text: string }
  | Entry;

/** A key with its value, as written; `value` has its lines joined by newlines. */
interface Entry {
  readonly kind: 'entry';
  /** Name of its section and its own, as every version of Landscape would spell them today. */
  readonly section: string;
  readonly key: string;
  readonly value: string;
  readonly text: string;
  /** Counted from 1. */
  readonly line: number;
}

/** A `service.conf`, in the order of its lines. */
export interface ServiceConfiguration {
  readonly parts: readonly Part[];
  /** How its lines end. */
  readonly newline: string;
}

/** Old names of sections. Source: Landscape's reference of service.conf; they go away in 26.10. */
const renamed: ReadonlyMap<string, string> = new Map([
  ['global', 'system'],
  ['landscape', 'appserver'],
  ['backoff', 'message_server'],
]);

/** The name under which sections of all versions are the same one. */
export function sectionName(written: string): string {
  const name = written.trim().replaceAll('-', '_');
  return renamed.get(name) ?? name;
}

/** The name under which keys of all versions are the same one. */
export function keyName(written: string): string {
  return written.trim().toLowerCase().replaceAll('-', '_');
}

/** `section.key`, by which values are known here. */
export function nameOf({ section, key }: Pick<Entry, 'section' | 'key'>): string {
  return `${section}.${key}`;
}

/**
 * Reads a `service.conf` by the rules of Python's ConfigParser with interpolation off: values may go on in lines that are
 * indented deeper, comments are whole lines.
 *
 * What ConfigParser would refuse, and a key that is there twice under two spellings, is `damaged` and names the line.
 */
export function parseServiceConfiguration(text: string, path = 'service.conf'): ServiceConfiguration {
  return new Parser(path).parse(text);
}

class Parser {
  readonly #path: string;
  readonly #parts: Part[] = [];
  /** Where each name and each section, as written, was seen. */
  readonly #seen = new Map<string, number>();
  /** Comments and empty lines that belong to the value before them, if it goes on after them. */
  #between: { text: string; blank: boolean }[] = [];
  #section: string | undefined;
  #open: Entry | undefined;
  #indent = 0;

  constructor(path: string) {
    this.#path = path;
  }

  parse(text: string): ServiceConfiguration {
    const lines = text.replace(/^\uFEFF/, '').match(/[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$/g) ?? [];
    for (const [index, line] of lines.entries()) this.#line(line, index + 1);
    this.#settle();
    return { parts: this.#parts, newline: /\r\n/.test(text) ? '\r\n' : '\n' };
  }

  #line(text: string, number: number): void {
    // Python takes some of these for spaces or for ends of lines, and we do not.
    if (/[^\P{Cc}\t\r\n]|[\u2028\u2029\uFEFF]/u.test(text)) throw this.#fault(number, 'it holds a control character');
    const content = text.trim();
    if (content === '' || /^[#;]/.test(content)) {
      this.#between.push({ text, blank: content === '' });
      return;
    }
    const indent = text.search(/\S/);
    if (this.#open !== undefined && indent > this.#indent) {
      const joined = this.#between.flatMap(({ blank }) => (blank ? ['\n'] : [])).join('');
      this.#open = {
        ...this.#open,
        value: `${this.#open.value}${joined}\n${content}`,
        text: this.#open.text + this.#between.map((each) => each.text).join('') + text,
      };
      this.#between = [];
      return;
    }
    this.#settle();
    this.#indent = indent;
    const header = /^\[([^\]]+)\]$/.exec(content)?.[1];
    if (header === undefined && content.startsWith('[')) throw this.#fault(number, 'it is no whole name of a section');
    if (header !== undefined) this.#beginSection(header, text, number);
    else this.#beginEntry(content, text, number);
  }

  #settle(): void {
    if (this.#open !== undefined) this.#parts.push(this.#open);
    this.#open = undefined;
    for (const { text } of this.#between) this.#parts.push({ kind: 'text', text });
    this.#between = [];
  }

  #beginSection(written: string, text: string, number: number): void {
    this.#once(`[${written}]`, `section [${written}]`, number);
    this.#section = sectionName(written);
    this.#parts.push({ kind: 'section', section: this.#section, text });
  }

  #beginEntry(content: string, text: string, number: number): void {
    const match = /^([^=:]*?)\s*[=:]\s*(.*)$/.exec(content);
    const written = match?.[1] ?? '';
    if (match === null || written === '') throw this.#fault(number, 'it is neither a section nor a key with a value');
    if (this.#section === undefined) throw this.#fault(number, 'it stands before the first section');
    const key = keyName(written);
    this.#once(`${this.#section}.${key}`, `${this.#section}.${key}`, number);
    this.#open = { kind: 'entry', section: this.#section, key, value: match[2] ?? '', text, line: number };
  }

  #once(key: string, shown: string, number: number): void {
    const before = this.#seen.get(key);
    if (before !== undefined) throw this.#fault(number, `it gives ${shown} again, after line ${before}`);
    this.#seen.set(key, number);
  }

  /** Without the line's text: it may hold a password. */
  #fault(number: number, why: string): Failure {
    return new Failure('damaged', `line ${number} of ${this.#path} can't be read: ${why}`, {
      hint: `Correct line ${number} of ${this.#path}.`,
    });
  }
}

/** The text of a file: exactly what was read, as far as nothing was changed. */
export function formatServiceConfiguration({ parts }: ServiceConfiguration): string {
  return parts.map(({ text }) => text).join('');
}

/**
 * The same with every section and key at the beginning of its line. Indentation decides what is a value's next line, so lines
 * of two files fit together only without it.
 */
export function withoutIndent({ parts, newline }: ServiceConfiguration): ServiceConfiguration {
  const isIndented = parts.some((part) => part.kind !== 'text' && /^\s/.test(part.text));
  if (!isIndented) return { parts, newline };
  return {
    parts: parts.map((part) => (part.kind === 'text' ? part : { ...part, text: part.text.trimStart() })),
    newline,
  };
}

/** All values by their `section.key`, as they are written. */
export function valuesOf(configuration: ServiceConfiguration): ReadonlyMap<string, string> {
  return new Map(entriesOf(configuration).map((entry) => [nameOf(entry), entry.value]));
}

/** The keys with their values, in their order. */
export function entriesOf({ parts }: ServiceConfiguration): readonly Entry[] {
  return parts.flatMap((part) => (part.kind === 'entry' ? [part] : []));
}

/** A value as Landscape takes it: its own, that of `[DEFAULT]`, or none; `b64:` is decoded. */
export function effectiveValue(values: ReadonlyMap<string, string>, name: string): string | undefined {
  const key = name.slice(name.indexOf('.') + 1);
  const value = values.get(name) ?? values.get(`DEFAULT.${key}`);
  return value === undefined ? undefined : decodeValue(value);
}

/** Values may be given as base64, to hide them from a glance. */
export function decodeValue(value: string): string {
  if (!value.startsWith('b64:')) return value;
  try {
    const bytes = Uint8Array.from(atob(value.slice(4)), (letter) => letter.codePointAt(0) ?? 0);
    return new TextDecoder().decode(bytes);
  } catch {
    return value;
  }
}
