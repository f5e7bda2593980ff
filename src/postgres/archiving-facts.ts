import * as z from 'zod';
import { archivingNames, type ArchivingFacts, type EffectiveSetting } from '../core/archiving-decision.ts';
import { Failure } from '../core/failure.ts';
import type { Connection } from './query.ts';

const names = [...archivingNames, 'archive_library'];

const effectiveSchema = z
  .object({
    name: z.string(),
    setting: z.string(),
    source: z.string(),
    sourcefile: z.string().nullable(),
    sourceline: z.number().nullable(),
    pending_restart: z.boolean(),
  })
  .transform((row) => ({
    name: row.name,
    value: row.setting,
    source: row.source,
    sourceFile: row.sourcefile,
    sourceLine: row.sourceline,
    pendingRestart: row.pending_restart,
  }));

/** The archiving settings that the running server has, with where each comes from. */
export async function readEffective(connection: Connection): Promise<ReadonlyMap<string, EffectiveSetting>> {
  const rows = await connection.ask(
    effectiveSchema,
    'select name, setting, source, sourcefile, sourceline, pending_restart from pg_settings where name = any($1)',
    [names],
  );
  return new Map(rows.map((row) => [row.name, row]));
}

/** A line of the configuration files as the server would read it now; later ones win. */
export interface FileSetting {
  readonly name: string;
  readonly value: string;
  readonly file: string;
  readonly line: number;
}

const fileSettingSchema = z.object({
  name: z.string().nullable(),
  setting: z.string().nullable(),
  sourcefile: z.string().nullable(),
  sourceline: z.number().nullable(),
  error: z.string().nullable(),
  applied: z.boolean(),
});

/**
 * The archiving lines of all configuration files in the order in which PostgreSQL reads them (`pg_file_settings`).
 *
 * Fails with `postgres` when a file holds an error: then a reload would change nothing at all.
 */
export async function readFileSettings(connection: Connection): Promise<readonly FileSetting[]> {
  const rows = await connection.ask(
    fileSettingSchema,
    'select name, setting, sourcefile, sourceline, error, applied from pg_file_settings order by seqno',
  );
  // A value that only waits for a restart is reported as an error too, and so is a line that was taken away (in no file).
  const broken = rows.find(
    ({ error, sourcefile }) => error !== null && sourcefile !== null && !error.includes('could not be applied'),
  );
  if (broken !== undefined) {
    throw new Failure(
      'postgres',
      `PostgreSQL can't read ${broken.sourcefile ?? ''} line ${broken.sourceline ?? '?'}: ${broken.error ?? ''}`,
      {
        hint: 'Correct that line: until then no change of the configuration takes effect.',
      },
    );
  }
  return rows.flatMap(({ name, setting, sourcefile, sourceline }) =>
    name !== null && setting !== null && sourcefile !== null && names.includes(name)
      ? [{ name, value: setting, file: sourcefile, line: sourceline ?? 0 }]
      : [],
  );
}

const versionSchema = z.object({ version: z.coerce.number(), allowed: z.string().nullable() });

/** The server's version and whether `ALTER SYSTEM` is allowed (17 and later can forbid it). */
export async function readServer(
  connection: Connection,
): Promise<{ versionNumber: number; allowsAlterSystem: boolean }> {
  const [row] = await connection.ask(
    versionSchema,
    `select current_setting('server_version_num') as version, (select setting from pg_settings where name = 'allow_alter_system') as allowed`,
  );
  return { versionNumber: row?.version ?? 0, allowsAlterSystem: row?.allowed !== 'off' };
}

/** Gathers what the decision about archiving rests on; `isOurs` tells which lines of the files are of our making. */
export async function readArchivingFacts(
  connection: Connection,
  isOurs: (line: FileSetting) => boolean,
): Promise<ArchivingFacts> {
  const { versionNumber } = await readServer(connection);
  const lines = await readFileSettings(connection);
  return {
    versionNumber,
    effective: await readEffective(connection),
    configured: new Map(lines.filter((line) => !isOurs(line)).map(({ name, value }) => [name, value])),
  };
}
