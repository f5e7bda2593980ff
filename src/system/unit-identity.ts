import { join } from 'node:path';
import * as z from 'zod';
import { readJson, writeJson } from './files.ts';

/** What a unit is there for: which of its charm's endpoints are related. */
const unitRoles = ['postgresql', 'landscape'] as const;

/** `<home>/unit.json`: who the unit of this home is to Juju. The charm writes it, programs without Juju read it. No secret. */
const unitIdentitySchema = z.object({
  format: z.literal(1),
  model: z.object({ uuid: z.string().min(1), name: z.string().min(1) }),
  application: z.string().min(1),
  /** `landscape-backup/0`. */
  unit: z.string().regex(/^[a-z][a-z0-9-]*\/\d+$/, 'must be a unit such as landscape-backup/0'),
  /** The unit beside which this one lives; null while Juju doesn't tell. */
  principal: z.string().nullable(),
  roles: z.array(z.enum(unitRoles)),
  /** Where the charm's `dispatch` lies, by which a job that has ended wakes it. */
  charmDirectory: z.string().startsWith('/'),
  jujuVersion: z.string(),
});
export type UnitIdentity = z.infer<typeof unitIdentitySchema>;

function unitIdentityFile(home: string): string {
  return join(home, 'unit.json');
}

/** Who the unit of a home is; `undefined` where no charm has written it. Fails with `damaged`. */
export async function readUnitIdentity(home: string): Promise<UnitIdentity | undefined> {
  return await readJson(unitIdentityFile(home), unitIdentitySchema);
}

/** Says who the unit of a home is. Everybody may read it: the cluster's owner names guests and file sets by it. */
export async function writeUnitIdentity(home: string, identity: UnitIdentity): Promise<void> {
  await writeJson(unitIdentityFile(home), unitIdentitySchema, identity, 0o644);
}

/** A unit's name in paths and in names of systemd: `landscape-backup-0`. */
export function unitSlug(unit: string): string {
  return unit.replace('/', '-');
}
