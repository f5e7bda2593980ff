import type { TestCluster } from './machine.ts';

/** Landscape's databases by the names that it uses itself; hyphens are part of them. */
const landscapeDatabases = [
  'landscape-standalone-main',
  'landscape-standalone-account-1',
  'landscape-standalone-resource-1',
  'landscape-standalone-package',
  'landscape-standalone-session',
  'landscape-standalone-knowledge',
] as const;

const tables: Readonly<Record<(typeof landscapeDatabases)[number], string>> = {
  'landscape-standalone-main': `
    create table account (id serial primary key, name text not null, title text);
    create table computer (id serial primary key, account_id int references account, title text, hostname text, last_ping_time timestamptz);
    create table server_identity (id serial primary key, uuid uuid default gen_random_uuid());
    insert into account (name, title) values ('standalone', 'Standalone account');
    insert into server_identity default values;
    insert into computer (account_id, title, hostname, last_ping_time)
      select 1, 'computer ' || i, 'host-' || i || '.example.com', now() from generate_series(1, 2000) i;`,
  'landscape-standalone-account-1': `
    create table person (id serial primary key, email text unique, name text);
    insert into person (email, name) select 'admin' || i || '@example.com', 'Admin ' || i from generate_series(1, 40) i;`,
  'landscape-standalone-resource-1': `
    create table activity (id serial primary key, computer_id int, summary text, created timestamptz default clock_timestamp());
    insert into activity (computer_id, summary) select i % 2000 + 1, md5(i::text) from generate_series(1, 20000) i;`,
  'landscape-standalone-package': `
    create table package (id serial primary key, name text, version text, hash text);
    insert into package (name, version, hash) select 'package-' || i, '1.' || i, md5(i::text) from generate_series(1, 30000) i;`,
  'landscape-standalone-session': `
    create table session (id serial primary key, token text, expires timestamptz);
    insert into session (token, expires) select md5(random()::text), now() from generate_series(1, 200) i;`,
  'landscape-standalone-knowledge': `
    create table topic (id serial primary key, title text);
    insert into topic (title) select 'topic ' || i from generate_series(1, 100) i;`,
};

/** Creates Landscape's databases with the tables by which administrators check one, and some thousand rows. */
export async function createLandscapeDatabases(server: Pick<TestCluster, 'sql'>): Promise<void> {
  const sql = async (text: string, database?: string) => await server.sql(text, database);
  await sql('create role landscape login;');
  for (const name of landscapeDatabases) {
    await sql(
      `create database "${name}" owner landscape template template0 encoding 'UTF8' lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8';`,
    );
    await sql(
      `create table patch (id serial primary key, applied timestamptz default now()); insert into patch (id) values (483);${tables[name]}`,
      name,
    );
  }
}

/** Every row of every table of every Landscape database, as lines `database.table: row`, sorted: two are compared with `===`. */
export async function everyRow(server: Pick<TestCluster, 'sql'>): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const database of landscapeDatabases) {
    const found = await server.sql(`select tablename from pg_tables where schemaname = 'public' order by 1`, database);
    for (const table of found.split('\n').filter(Boolean)) {
      const rows = await server.sql(`select t::text from "${table}" t order by 1`, database);
      for (const row of rows.split('\n').filter(Boolean)) lines.push(`${database}.${table}: ${row}`);
    }
  }
  return lines.sort();
}
