import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { instantSchema } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import { fenceDropIn, maintenanceFile } from '../core/landscape-profile.ts';
import { readJson, readText, removeFile, syncDirectory, writeAtomically, writeJson } from '../system/files.ts';
import { makePrivateFolder } from '../system/home.ts';
import { clearTemporary, lookAtPlace, placeFile, removePlace, type Placing } from '../system/placing.ts';
import type { LandscapeMachine } from './machine.ts';
import { reloadSystemd } from './services.ts';

/** `fence.json`: what was found before a restore fenced Landscape, and what is put back when the fence goes. */
const fenceSchema = z.object({
  format: z.literal(1),
  planId: z.string(),
  since: instantSchema,
  /** Every unit that carries our drop-in. */
  units: z.array(z.string()),
  /** The units that ran when the restore began. */
  running: z.array(z.string()),
  /** Landscape's own flag was there already: `lsctl stop` makes it. */
  hadMaintenance: z.boolean(),
});
export type Fence = z.infer<typeof fenceSchema>;

/** Where a unit keeps its fence: a folder of root's. */
interface FencePlace {
  readonly machine: LandscapeMachine;
  readonly folder: string;
}

/** The fence that stands on this unit; `undefined` when none does. */
export async function readFence({ folder }: Pick<FencePlace, 'folder'>): Promise<Fence | undefined> {
  return await readJson(recordFile(folder), fenceSchema);
}

function recordFile(folder: string): string {
  return join(folder, 'fence.json');
}

/** While this file lies there, systemd starts none of Landscape's units for anybody. */
function flagFile(folder: string): string {
  return join(folder, 'fenced');
}

function dropIn(unit: string): string {
  return join('/etc/systemd/system', `${unit}.d`, fenceDropIn);
}

/** What our drop-in says. A percent sign begins a specifier there. */
function dropInText(folder: string): string {
  return `# landscape-backup restores this Landscape: nobody may start it meanwhile, and a reboot does not change that.
# "landscape-backup resume" or "landscape-backup abandon-files" takes this away.
[Unit]
ConditionPathExists=!${flagFile(folder).replaceAll('%', '%%')}
`;
}

/**
 * Makes systemd refuse to start Landscape's units, for everybody and across a reboot, and makes its cron jobs pause.
 *
 * What was found is durable before anything is changed. May be repeated; units that have come since are fenced then too.
 */
export async function raiseFence(place: FencePlace, wanted: Omit<Fence, 'format' | 'hadMaintenance'>): Promise<Fence> {
  const { machine, folder } = place;
  await makePrivateFolder(folder);
  const before = await readFence(place);
  if (before !== undefined && before.planId !== wanted.planId) throw otherFence(before);
  const fence: Fence = {
    format: 1,
    ...wanted,
    ...(before === undefined
      ? { hadMaintenance: (await readText(join(machine.root, maintenanceFile))) !== undefined }
      : { hadMaintenance: before.hadMaintenance, running: before.running, since: before.since }),
    units: [...new Set([...(before?.units ?? []), ...wanted.units])].sort(),
  };
  await writeJson(recordFile(folder), fenceSchema, fence);
  const text = dropInText(folder);
  for (const unit of fence.units) await placeText(machine, dropIn(unit), text);
  await writeAtomically(flagFile(folder), `plan ${fence.planId}\n`);
  if (!fence.hadMaintenance) await makeMaintenance(machine);
  await reloadSystemd();
  return fence;
}

async function makeMaintenance(machine: LandscapeMachine): Promise<void> {
  const found = await lookAtPlace(machine, maintenanceFile);
  if (found !== 'other' && found.placed.kind === 'absent') {
    await placeText(machine, maintenanceFile, 'landscape-backup restores this Landscape\n');
  }
}

/** A file of root's that everybody may read. What a run that was killed left beside it is overwritten. */
async function placeText(machine: LandscapeMachine, path: string, text: string): Promise<void> {
  const made = await mkdir(join(machine.root, dirname(path)), { recursive: true, mode: 0o755 });
  if (made !== undefined) await syncDirectory(dirname(made));
  const bytes = async function* () {
    yield Buffer.from(text);
  };
  await placeFile(placingIn(machine), path, { mode: 0o644, uid: 0, gid: 0 }, bytes());
}

function placingIn({ root }: LandscapeMachine): Placing {
  return { root, mark: 'fence' };
}

/** Fails unless the fence of this plan stands. */
export async function needFence(place: FencePlace, planId: string): Promise<Fence> {
  const fence = await readFence(place);
  if (fence === undefined) {
    throw new Failure('refused', 'Landscape is not fenced on this machine: nothing was restored', {
      hint: `landscape-backup quiesce --plan ${planId} comes first.`,
    });
  }
  if (fence.planId !== planId) throw otherFence(fence);
  return fence;
}

function otherFence({ planId }: Fence): Failure {
  return new Failure('refused', `the restore of plan ${planId} is under way on this machine`, {
    hint: `End it first: landscape-backup resume --plan ${planId}, or landscape-backup abandon-files --plan ${planId}`,
  });
}

/** Takes the fence away and puts back what was found; the record goes last. May be repeated. */
export async function lowerFence(place: FencePlace): Promise<void> {
  const { machine, folder } = place;
  const fence = await readFence(place);
  if (fence === undefined) return;
  const placing = placingIn(machine);
  await clearTemporary(placing, maintenanceFile);
  if (!fence.hadMaintenance) await removePlace(placing, maintenanceFile);
  await removeFile(flagFile(folder));
  for (const unit of fence.units) {
    const path = dropIn(unit);
    await clearTemporary(placing, path);
    await removePlace(placing, path);
    await removePlace(placing, dirname(path)); // A drop-in folder with others' files stays.
  }
  await reloadSystemd();
  await removeFile(recordFile(folder));
}
