import * as z from 'zod';
import { instantSchema } from './backup.ts';
import { lsnSchema } from './lsn.ts';

/** `owner.json`: who may write an incarnation, and whose continuation it is. Write-once. */
export const ownerSchema = z.object({
  format: z.literal(1),
  ownerId: z.string().min(1),
  model: z.string(),
  application: z.string(),
  unit: z.string(),
  /** What people call the model; where Juju is not there is none. */
  modelName: z.string().optional(),
  since: instantSchema,
  /** The incarnation this one continues, and where it left it; null for a cluster's first. */
  parent: z
    .object({ incarnation: z.number().int().positive(), timeline: z.number().int().positive(), lsn: lsnSchema })
    .nullable(),
});
export type Owner = z.infer<typeof ownerSchema>;

/** Who owns an incarnation, for people: the unit and its model, or without Juju its machine. */
export function ownerText({ unit, application, modelName }: Pick<Owner, 'unit' | 'application' | 'modelName'>): string {
  return `${unit} of ${modelName === undefined ? application : `the model ${modelName}`}`;
}

/** An incarnation as the repository knows it. */
export interface Incarnation {
  readonly number: number;
  readonly owner: Owner;
}

/** What a cluster is to the repository. */
export type Standing =
  | { readonly is: 'owner'; readonly incarnation: Incarnation }
  | { readonly is: 'copy'; readonly incarnations: readonly Incarnation[] }
  | { readonly is: 'none' };

/**
 * What a cluster on this unit is: its newest incarnation's owner, a copy that belongs to nobody, or unknown.
 *
 * `claimed` is the incarnation that this unit's own state says it holds. Owning an older incarnation while its child has
 * been claimed by someone else is still ownership: a spare that took over goes its own way and can't take ours from us.
 */
export function standing(
  ownerId: string | undefined,
  claimed: number | undefined,
  incarnations: readonly Incarnation[],
): Standing {
  if (incarnations.length === 0) return { is: 'none' };
  const own = incarnations.find(({ number, owner }) => number === claimed && owner.ownerId === ownerId);
  return own === undefined ? { is: 'copy', incarnations } : { is: 'owner', incarnation: own };
}

/** An incarnation and its ancestors, the incarnation first; stops at one that the repository does not hold. */
export function lineage(number: number, incarnations: readonly Incarnation[]): readonly Incarnation[] {
  const line: Incarnation[] = [];
  let wanted: number | undefined = number;
  while (wanted !== undefined && line.length < incarnations.length) {
    const found: Incarnation | undefined = incarnations.find((each) => each.number === wanted);
    if (found === undefined) break;
    line.push(found);
    wanted = found.owner.parent?.incarnation;
  }
  return line;
}
