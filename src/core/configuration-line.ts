/** A line of a PostgreSQL configuration file that sets a name, as `ALTER SYSTEM` writes it: quotes and backslashes doubled. */
export function configurationLine(name: string, value: string): string {
  return `${name} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

/** Reads a line that `configurationLine` or `ALTER SYSTEM` wrote; `undefined` for any other. */
export function readConfigurationLine(line: string): { readonly name: string; readonly value: string } | undefined {
  const match = /^([A-Za-z_][\w.]*) = '((?:[^'\\]|''|\\\\)*)'$/.exec(line);
  const [, name, quoted] = match ?? [];
  if (name === undefined || quoted === undefined) return undefined;
  return { name, value: quoted.replaceAll("''", "'").replaceAll('\\\\', '\\') };
}

/** What is taken out of a `postgresql.auto.conf`: our values of a name; `before` takes their place where there was one. */
export interface LineChange {
  readonly before: string | null;
  readonly ours: readonly string[];
}

/** The text of a configuration file with our exact lines taken out or put back to what they were; all others untouched. */
export function withoutOurLines(text: string, changes: Readonly<Record<string, LineChange>>): string {
  const kept = text.split('\n').flatMap((line) => {
    const read = readConfigurationLine(line);
    const change = read === undefined ? undefined : changes[read.name];
    if (read === undefined || change === undefined || !change.ours.includes(read.value)) return [line];
    return change.before === null ? [] : [configurationLine(read.name, change.before)];
  });
  return kept.join('\n');
}

/** The value that a configuration file's last line of this name gives it; `undefined` when it has none. */
export function valueInFile(text: string, name: string): string | undefined {
  return text
    .split('\n')
    .flatMap((line) => readConfigurationLine(line) ?? [])
    .findLast((read) => read.name === name)?.value;
}
