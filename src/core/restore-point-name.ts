/** Says which rule a restore point's name breaks; `undefined` when it may be used. PostgreSQL keeps 63 bytes. */
export function restorePointNameFault(name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
    return 'only letters, digits, ".", "_" and "-" may be used, a letter or digit first';
  return name.length > 63 ? `it has ${name.length} characters, at most 63 are kept by PostgreSQL` : undefined;
}
