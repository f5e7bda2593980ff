import { dump, load } from 'js-yaml';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { isSecretOption, parseSettings, type Settings } from '../core/settings.ts';
import { readJson, readText, removeFile, syncDirectory, writeAtomically, writeJson } from './files.ts';

/** Who this unit is to the repository: kept outside PGDATA and outside every backup. */
export const ownerStateSchema = z.object({
  ownerId: z.string().min(1),
  systemIdentifier: z.string(),
  incarnation: z.number().int().positive(),
});
export type OwnerState = z.infer<typeof ownerStateSchema>;

/** Which repository this unit writes to; set by `init`, compared before every write. */
export const pinSchema = z.object({ repositoryId: z.string(), url: z.string() });
export type Pin = z.infer<typeof pinSchema>;

/** The names in a unit's folder, which belongs to the cluster's owner and nobody else can read. */
export interface UnitFolder {
  readonly path: string;
  readonly owner: string;
  readonly pin: string;
  readonly journal: string;
  /** WAL files that the repository refused, kept for a human. */
  readonly rejected: string;
  /** Plans that were printed and may be confirmed. */
  readonly plans: string;
  /** The restore under way: its plan, its state, what `restore-wal` may serve. */
  readonly restore: string;
  /** What the archiver and the prefetcher hand over to the fronts; it may be lost at any time. */
  readonly spool: string;
  /** The archiving values that were found, to be put back. */
  readonly found: string;
  lock(name: string): string;
}

/** The folder of a cluster's unit, named `<version>-<cluster>`. */
export function unitFolder(home: string, unit: string): UnitFolder {
  return unitFolderAt(join(home, unit));
}

/** The same by its own path, as PostgreSQL passes it to the fronts. */
export function unitFolderAt(path: string): UnitFolder {
  return {
    path,
    owner: join(path, 'owner.json'),
    pin: join(path, 'pin.json'),
    journal: join(path, 'journal.jsonl'),
    rejected: join(path, 'rejected'),
    plans: join(path, 'plans'),
    restore: join(path, 'restore'),
    spool: join(path, 'spool'),
    found: join(path, 'found.json'),
    lock: (name) => join(path, `${name}.lock`),
  };
}

/** The settings file of a home. */
export function settingsFile(home: string): string {
  return join(home, 'settings.yaml');
}

/** Where credentials lie that the charm was given: of root, readable by the cluster's owner through its group. */
export function credentialsFile(home: string): string {
  return join(home, 'credentials.yaml');
}

/** Reads and checks the settings and credentials; no file means all defaults. Fails with `settings`. */
export async function readSettings(home: string): Promise<Settings> {
  const settings = await readOptions(settingsFile(home));
  const credentials = await readOptions(credentialsFile(home));
  const stray = Object.keys(credentials).find((name) => !isSecretOption(name));
  if (stray !== undefined) {
    throw new Failure('settings', `${credentialsFile(home)} holds the option ${stray}, which is no secret`, {
      hint: `Write it into ${settingsFile(home)}.`,
    });
  }
  return parseSettings({ ...settings, ...credentials });
}

const optionsSchema = z.record(z.string(), z.unknown());

async function readOptions(path: string): Promise<Readonly<Record<string, unknown>>> {
  const text = (await readText(path)) ?? '';
  let raw: unknown;
  try {
    raw = text.trim() === '' ? {} : load(text);
  } catch (error) {
    // The parser quotes what it stumbled over, and that may be a secret.
    const reason = error instanceof Error ? error.message.split('\n')[0]?.replaceAll(/".*"/g, '"…"') : '';
    throw new Failure('settings', `${path} is not YAML: ${reason ?? ''}`, {
      hint: `Write lines such as "destination: /srv/backup".`,
    });
  }
  const options = optionsSchema.safeParse(raw ?? {});
  if (!options.success) throw new Failure('settings', `${path} is not a list of "option: value" lines`);
  const secret = Object.keys(options.data).find((name) => isSecretOption(name) && options.data[name] !== '');
  if (secret !== undefined) await refuseOpenToOthers(path, secret);
  return options.data;
}

async function refuseOpenToOthers(path: string, option: string): Promise<void> {
  const { mode } = await stat(path);
  if ((mode & 0o007) === 0) return;
  throw new Failure('settings', `${path} holds the option ${option}, and every user of this machine may read it`, {
    hint: `Close it to all but the cluster's owner: chown root:postgres ${path} && chmod 0640 ${path}`,
  });
}

/**
 * Writes the credentials that the charm was given, for root and a group: that of the cluster's owner. Without any the file
 * is removed. Tells whether anything was changed.
 */
export async function writeCredentials(
  home: string,
  values: Readonly<Record<string, string>>,
  gid: number,
): Promise<boolean> {
  const path = credentialsFile(home);
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));
  const text = Object.keys(given).length === 0 ? undefined : dump(given);
  const found = await readText(path);
  if (found === text && (found === undefined || (await stat(path)).gid === gid)) return false;
  if (text === undefined) await removeFile(path);
  else await writeAtomically(path, text, 0o640, gid);
  return true;
}

/** Makes a private folder and everything above it, durably as far as it was missing. */
export async function makePrivateFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first !== undefined) await syncDirectory(join(first, '..'));
}

/** This unit's owner state; `undefined` when it owns nothing. */
export async function readOwnerState(unit: UnitFolder): Promise<OwnerState | undefined> {
  return await readJson(unit.owner, ownerStateSchema);
}

/** Makes an owner state durable: it comes before the claim that it stands for. */
export async function writeOwnerState(unit: UnitFolder, state: OwnerState): Promise<void> {
  await writeJson(unit.owner, ownerStateSchema, state);
}

/** The repository that this unit is pinned to. */
export async function readPin(unit: UnitFolder): Promise<Pin | undefined> {
  return await readJson(unit.pin, pinSchema);
}
