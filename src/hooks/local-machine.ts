import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { clusterFactsSchema } from '../core/cluster-facts.ts';
import { Failure, toFailure } from '../core/failure.ts';
import { landscapeUnitFactsSchema } from '../core/landscape-facts.ts';
import type { Role } from '../core/site.ts';
import type { JujuEnvironment } from '../juju/environment.ts';
import { listClusters } from '../postgres/cluster.ts';
import { machineClock } from '../system/clock.ts';
import { parseJson, readText, writeAtomically } from '../system/files.ts';
import { installArchiver, removeArchiver } from '../system/archiver-service.ts';
import { settingsFile, unitFolder, writeCredentials } from '../system/home.ts';
import { installUnit, openJobs, removeUnit } from '../system/installation.ts';
import { machinePaths, placesOf, type UnitPlaces } from '../system/machine-paths.ts';
import { run } from '../system/process.ts';
import { isInForce } from '../system/runtime-install.ts';
import { writeSite } from '../system/site-file.ts';
import { readUnitIdentity, writeUnitIdentity, type UnitIdentity } from '../system/unit-identity.ts';
import type { LocalFacts, UnitMachine } from './unit-machine.ts';

/** What the timer calls every minute, by role. */
const dueVerbs: Readonly<Record<Role, string>> = { postgresql: 'run-due', landscape: 'run-due-files' };

/** How long a question to the machine may take in a hook; what it asks ends a little before. */
const askMs = 60_000;
/** PostgreSQL's values are put back in a second; where it does not answer, a hook that leaves may not hang. */
const leaveMs = 60_000;

/** The machine that this charm runs on. */
export async function localMachine(juju: JujuEnvironment): Promise<UnitMachine> {
  const places = placesOf(machinePaths, juju.unit);
  const { home } = places;
  const jobs = await openJobs(machinePaths, juju.unit, machineClock);
  const install = async (roles: readonly Role[]) => {
    const due = roles.map((role) => dueVerbs[role]);
    return (await installUnit(machinePaths, { unit: juju.unit, charmDirectory: juju.charmDirectory, due })).notes;
  };
  return {
    install,
    identify: async (identity) => {
      const known = await readUnitIdentity(home).catch(() => undefined);
      if (JSON.stringify(known) === JSON.stringify(identity)) return;
      if (!isSameDue(known, identity)) await install(identity.roles);
      await writeUnitIdentity(home, identity);
    },
    keepArchiver: async (label) => {
      if (label === undefined) {
        await removeArchiver(machinePaths, places);
        return;
      }
      const folder = unitFolder(home, label.replace('/', '-')).path;
      await installArchiver(machinePaths, places, {
        templates: join(juju.charmDirectory, 'systemd'),
        cluster: { label, folder },
      });
    },
    isInstalled: async () => await isInForce(join(juju.charmDirectory, 'runtime'), places),
    uninstall: async () => await takeAway(places, juju.unit),
    leave: async () => await leave(places),
    readSettings: async () => await readText(settingsFile(home)),
    writeSettings: async (text) => {
      await writeAtomically(settingsFile(home), text, 0o644);
    },
    keepCredentials: async (values) => {
      // Without any there is nobody to keep them for, and to list clusters takes as long as all the rest.
      const isAny = Object.values(values).some((value) => value !== '');
      // A machine without a cluster, as Landscape's, keeps them for root alone.
      const owner = isAny ? (await listClusters().catch(() => []))[0] : undefined;
      return await writeCredentials(home, values, owner?.ownerGid ?? 0);
    },
    writeSite: async (site) => {
      await writeSite(home, site);
    },
    look: async (roles) => ({ ...(await look(places, roles)), jobs: await jobs.list() }),
    now: () => machineClock.now(),
    pause: async (milliseconds) => {
      await sleep(milliseconds);
    },
    keepShare: async (planId, { files, credentials }) => {
      const { fileSet, profile, endpointsDigest } = files;
      await ask(places, [
        'keep-plan',
        JSON.stringify({ format: 1, planId, fileSet, credentials, profile, endpointsDigest }),
      ]);
    },
    jobs,
  };
}

function isSameDue(known: UnitIdentity | undefined, { roles }: UnitIdentity): boolean {
  return (
    known !== undefined && known.roles.length === roles.length && roles.every((role) => known.roles.includes(role))
  );
}

function commandOf({ runtime }: UnitPlaces): string {
  return join(runtime, 'bin', 'landscape-backup');
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Asks a verb of the command that answers at once; its JSON, whatever it exits with. */
async function ask(places: UnitPlaces, [verb = '', ...args]: readonly string[]): Promise<unknown> {
  const { stdout, stderr } = await run(commandOf(places), [verb, '--home', places.home, '--format', 'json', ...args], {
    timeoutMs: askMs,
    answers: [...Array(13).keys()],
    cwd: '/',
  });
  const said = parseJson(stdout.trim() === '' ? 'null' : stdout, z.unknown(), `what ${verb} says`);
  const failed = z.object({ error: failureSchema }).safeParse(said);
  if (failed.success) {
    const { message, hint } = failed.data.error;
    throw new Failure('machine', message, { hint: hint ?? undefined });
  }
  if (said === null) throw new Failure('internal', `${verb} said nothing: ${stderr.trim()}`);
  return said;
}

const failureSchema = z.object({ kind: z.string(), message: z.string(), hint: z.string().nullable() });

async function look(places: UnitPlaces, roles: readonly Role[]): Promise<Omit<LocalFacts, 'jobs'>> {
  let trouble: LocalFacts['trouble'];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      const { message, hint } = toFailure(error);
      trouble ??= { message, hint: hint ?? null };
      return undefined;
    }
  };
  const cluster = roles.includes('postgresql')
    ? await attempt(async () => z.object({ facts: clusterFactsSchema }).parse(await ask(places, ['facts'])).facts)
    : undefined;
  const landscape = roles.includes('landscape')
    ? await attempt(async () => landscapeUnitFactsSchema.parse(await ask(places, ['landscape-facts'])))
    : undefined;
  return { cluster, landscape, trouble };
}

/** Puts PostgreSQL's values back; what stands in the way is told and holds up nobody. */
async function leave(places: UnitPlaces): Promise<readonly string[]> {
  const { home } = places;
  if (!(await isThere(commandOf(places))) || !(await isThere(home))) return [];
  try {
    const args = ['leave', '--home', home, '--format', 'json'];
    const { stdout } = await run(commandOf(places), args, {
      timeoutMs: leaveMs,
      answers: [...Array(13).keys()],
      cwd: '/',
    });
    const said = parseJson(stdout, z.unknown(), 'what leave says');
    const failed = z.object({ error: failureSchema }).safeParse(said);
    const { left } = z.object({ left: z.object({ note: z.string().nullable() }).optional() }).parse(said);
    if (!failed.success) return left === undefined || left.note === null ? [] : [left.note];
    // Where no cluster is this unit's matter, nothing of it is to be put back.
    if (failed.data.error.kind === 'usage') return [];
    return [`PostgreSQL's settings were not put back: ${failed.data.error.message}`];
  } catch (error) {
    return [`PostgreSQL's settings were not put back: ${toFailure(error).message}`];
  }
}

async function takeAway(places: UnitPlaces, unit: string): Promise<readonly string[]> {
  // Once more: what could not be put back when the relation broke would call a program that is gone.
  const notes = [...(await leave(places)), ...(await unfenceForGood(places))];
  const { stays, problems } = await removeUnit(machinePaths, unit, await keptFolders(places));
  return [...notes, ...stays, ...problems];
}

/** Old files of Landscape that a restore set aside are nowhere else. */
async function keptFolders({ home }: UnitPlaces): Promise<readonly string[]> {
  const old = await readdir(join(home, 'landscape', 'previous')).catch(() => []);
  return old.length === 0 ? [] : ['landscape'];
}

/** A fence of ours whose charm is gone would keep Landscape from ever starting again. */
async function unfenceForGood(places: UnitPlaces): Promise<readonly string[]> {
  if (!(await isThere(commandOf(places)))) return [];
  try {
    await ask(places, ['unfence']);
    return [];
  } catch (error) {
    return [`Landscape's fence was not looked for: ${toFailure(error).message}`];
  }
}
