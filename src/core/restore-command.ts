/** Quotes the command by which PostgreSQL calls our front in recovery: each word for the shell, `%` for PostgreSQL. */
export function restoreCommand(runtime: string, unitFolder: string): string {
  const quoted = (text: string) => `'${text.replaceAll("'", String.raw`'\''`).replaceAll('%', '%%')}'`;
  return `${quoted(`${runtime}/bin/restore-wal`)} ${quoted(unitFolder)} '%p' '%f'`;
}
