import { layout, type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

/** Tells whether this user could leave a guest's lease in an incarnation. Nothing of ours is left there by asking. */
export async function canLeaveLease({ storage }: Repository, place: Place): Promise<boolean> {
  return await storage.mayPut(layout.guests(place));
}
