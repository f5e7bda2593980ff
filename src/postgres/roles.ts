import * as z from 'zod';
import type { Connection } from './query.ts';

/** The roles of a cluster with what proves their passwords. Holds secrets: keep it 0600. */
export const rolesSchema = z.object({
  roles: z.array(
    z.object({
      name: z.string(),
      /** As `pg_authid` has it; null: no password. */
      verifier: z.string().nullable(),
      /** `SUPERUSER`, `NOLOGIN`, … as `CREATE ROLE` wants them. */
      options: z.array(z.string()),
      validUntil: z.string().nullable(),
      connectionLimit: z.number().int(),
    }),
  ),
  memberships: z.array(z.object({ role: z.string(), member: z.string(), admin: z.boolean() })),
});
export type Roles = z.infer<typeof rolesSchema>;

const roleRow = z.object({
  name: z.string(),
  verifier: z.string().nullable(),
  superuser: z.boolean(),
  inherit: z.boolean(),
  createrole: z.boolean(),
  createdb: z.boolean(),
  login: z.boolean(),
  replication: z.boolean(),
  bypassrls: z.boolean(),
  validUntil: z.string().nullable(),
  connectionLimit: z.number(),
});

/** Reads all roles that people made. Needs a superuser. */
export async function readRoles(connection: Connection): Promise<Roles> {
  const rows = await connection.ask(
    roleRow,
    `select rolname as name, rolpassword as verifier, rolsuper as superuser, rolinherit as inherit, rolcreaterole as createrole,
       rolcreatedb as createdb, rolcanlogin as login, rolreplication as replication, rolbypassrls as bypassrls,
       rolvaliduntil::text as "validUntil", rolconnlimit as "connectionLimit"
     from pg_authid where rolname !~ '^pg_' order by rolname collate "C"`,
  );
  const memberships = await connection.ask(
    z.object({ role: z.string(), member: z.string(), admin: z.boolean() }),
    `select r.rolname as role, m.rolname as member, bool_or(a.admin_option) as admin
     from pg_auth_members a join pg_authid r on r.oid = a.roleid join pg_authid m on m.oid = a.member
     where m.rolname !~ '^pg_' group by 1, 2 order by r.rolname collate "C", m.rolname collate "C"`,
  );
  const roles = rows.map(({ name, verifier, validUntil, connectionLimit, ...flags }) => ({
    name,
    verifier,
    validUntil,
    connectionLimit,
    options: Object.entries(flags).map(([option, on]) => `${on ? '' : 'NO'}${option.toUpperCase()}`),
  }));
  return { roles, memberships: [...memberships] };
}

/** What became of the roles of the spare in the restored cluster. */
export interface AppliedRoles {
  readonly created: readonly string[];
  readonly changed: number;
}

/**
 * Makes the passwords of this machine's roles valid in the restored cluster; a role that it lacks is created with what it
 * may do and what it belongs to. Roles that only production knows stay as they are. May be repeated.
 */
export async function applyRoles(connection: Connection, { roles, memberships }: Roles): Promise<AppliedRoles> {
  const known = new Set(
    (await connection.ask(z.object({ name: z.string() }), 'select rolname as name from pg_authid')).map(
      ({ name }) => name,
    ),
  );
  const created = roles.filter(({ name }) => !known.has(name));
  for (const { name, options, connectionLimit, validUntil } of created) {
    const until = validUntil === null ? '' : ` VALID UNTIL ${literal(validUntil)}`;
    await say(
      connection,
      `CREATE ROLE ${identifier(name)} ${options.join(' ')} CONNECTION LIMIT ${connectionLimit}${until}`,
    );
  }
  for (const { name, verifier } of roles) {
    const password = verifier === null ? 'NULL' : literal(verifier);
    await say(connection, `ALTER ROLE ${identifier(name)} PASSWORD ${password}`);
  }
  const names = new Set([...known, ...created.map(({ name }) => name)]);
  for (const { role, member, admin } of memberships) {
    if (!created.some(({ name }) => name === member || name === role) || !names.has(role)) continue;
    const option = admin ? ' WITH ADMIN OPTION' : '';
    await say(connection, `GRANT ${identifier(role)} TO ${identifier(member)}${option}`);
  }
  return { created: created.map(({ name }) => name), changed: roles.length - created.length };
}

/** How many transactions were prepared and are open: they hold locks until somebody ends them. */
export async function countPrepared(connection: Connection): Promise<number> {
  const [row] = await connection.ask(z.object({ count: z.coerce.number() }), 'select count(*) from pg_prepared_xacts');
  return row?.count ?? 0;
}

async function say(connection: Connection, sql: string): Promise<void> {
  await connection.ask(z.unknown(), sql);
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Whatever `standard_conforming_strings` is. */
function literal(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
