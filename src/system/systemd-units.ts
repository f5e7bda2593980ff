import { access, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { namesIn, readText, removeFile, syncDirectory, writeAtomically } from './files.ts';
import type { MachinePaths, UnitPlaces } from './machine-paths.ts';
import { run } from './process.ts';

/** What the units of systemd are made for. */
export interface UnitFilesRequest {
  /** `landscape-backup/0`. */
  readonly unit: string;
  /** Where the charm's templates lie. */
  readonly templates: string;
  /** The verbs that the timer calls every minute, one after the other. */
  readonly due: readonly string[];
}

/** Tells whether systemd runs this machine; in a container of another kind nobody starts what we install. */
export async function hasSystemd({ systemdRuns }: MachinePaths): Promise<boolean> {
  return await access(systemdRuns).then(
    () => true,
    () => false,
  );
}

/**
 * Installs a unit's job template and timer, and starts the timer; without a verb that is due there is no timer. systemd is told
 * to read its files again only when one of them has changed; a job or a backup that runs is not touched.
 */
export async function installUnitFiles(
  paths: MachinePaths,
  places: UnitPlaces,
  request: UnitFilesRequest,
): Promise<void> {
  const files = await unitFiles(places, request);
  for (const [file, text] of files) await placeUnitFile(join(paths.systemdUnits, file), text, unreadMark(places));
  const isManaged = await hasSystemd(paths);
  if (request.due.length === 0) await removeTimer(paths, places, isManaged);
  if (!isManaged) return;
  if ((await readText(unreadMark(places))) !== undefined) {
    await run('systemctl', ['daemon-reload']);
    await removeFile(unreadMark(places));
  }
  const timer = `${places.due}.timer`;
  // To enable a unit has systemd read all its files again, and this is asked in many hooks.
  if (request.due.length > 0 && !(await isKept(timer))) await run('systemctl', ['enable', '--now', timer]);
}

/** Whether a unit is active, and will be after a reboot. */
async function isKept(unit: string): Promise<boolean> {
  const { stdout } = await run('systemctl', ['show', '--property=ActiveState,UnitFileState', unit]);
  const said = stdout.split('\n');
  return said.includes('ActiveState=active') && said.includes('UnitFileState=enabled');
}

/**
 * Puts a unit's file where systemd looks for it, unless it lies there as it is. The mark comes first and is durable: who is
 * interrupted before systemd has read the file finds it, and has the file read.
 */
export async function placeUnitFile(path: string, text: string, mark: string): Promise<void> {
  if ((await readText(path)) === text) return;
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeAtomically(mark, '', 0o644);
  await writeAtomically(path, text, 0o644);
}

function unreadMark({ runtime }: UnitPlaces): string {
  return join(dirname(runtime), 'systemd-unread');
}

async function removeTimer(paths: MachinePaths, places: UnitPlaces, isManaged: boolean): Promise<void> {
  const ours = await filesIn(paths, (name) => name.startsWith(`${places.due}.`));
  if (ours.length === 0) return;
  await writeAtomically(unreadMark(places), '', 0o644);
  if (isManaged) await run('systemctl', ['disable', '--now', `${places.due}.timer`], { answers: [1, 5] });
  for (const name of ours) await removeFile(join(paths.systemdUnits, name));
}

async function filesIn(
  { systemdUnits }: MachinePaths,
  isWanted: (name: string) => boolean,
): Promise<readonly string[]> {
  return (await namesIn(systemdUnits)).filter(isWanted);
}

async function unitFiles(
  places: UnitPlaces,
  request: UnitFilesRequest,
): Promise<readonly (readonly [string, string])[]> {
  const call = `${places.runtime}/bin/landscape-backup`;
  const values = {
    UNIT: request.unit,
    RUNTIME: places.runtime,
    HOME: places.home,
    DESCRIPTION: `What ${request.unit} has to do that is due`,
    // With a dash before all but the last: a failure of one keeps no other from its turn.
    DUE: request.due
      .map(
        (verb, index) => `ExecStart=${index < request.due.length - 1 ? '-' : ''}${call} ${verb} --home ${places.home}`,
      )
      .join('\n'),
  };
  const template = async (name: string) => await readTemplate(join(request.templates, name), values);
  const job = [`${places.jobTemplate}@.service`, await template('unit/job@.service')] as const;
  if (request.due.length === 0) return [job];
  return [
    job,
    [`${places.due}.service`, await template('unit/due.service')],
    [`${places.due}.timer`, await template('landscape-backup-due.timer')],
  ];
}

/** A template of the charm's, its marks (`@NAME@`) filled; one that is missing is `damaged`. */
export async function readTemplate(path: string, values: Readonly<Record<string, string>>): Promise<string> {
  const text = await readText(path);
  if (text === undefined) throw new Failure('damaged', `${path} is missing: the charm is not whole`);
  return text.replaceAll(/@([A-Z]+)@/g, (mark, name: string) => values[name] ?? mark);
}

/** A graceful end first: longer than a template's `TimeoutStopSec`. */
const stopTimeoutMs = 150_000;

/** Stops a unit's timer and everything that it and the charm have started, and removes their files. May be repeated. */
export async function removeUnitFiles(paths: MachinePaths, places: UnitPlaces): Promise<void> {
  const ours = await filesIn(
    paths,
    (name) => name.startsWith(`${places.jobTemplate}@`) || name.startsWith(`${places.due}.`),
  );
  const isManaged = await hasSystemd(paths);
  if (isManaged) {
    // 5: systemd does not know it, as where this was interrupted before.
    const stopped = [`${places.due}.timer`, `${places.due}.service`, `${places.jobTemplate}@*.service`];
    await run('systemctl', ['stop', ...stopped], { timeoutMs: stopTimeoutMs, answers: [1, 5] });
    if (ours.includes(`${places.due}.timer`))
      await run('systemctl', ['disable', `${places.due}.timer`], { answers: [1] });
  }
  for (const name of ours) await removeFile(join(paths.systemdUnits, name));
  if (ours.length === 0) return;
  await syncDirectory(paths.systemdUnits);
  if (isManaged) await run('systemctl', ['daemon-reload']);
}
