import type { HeldLease } from './catalogue.ts';

/** How long a lease, or a backup that nobody finished, protects after its last sign of life. */
export const leaseLifeMs = 24 * 60 * 60 * 1000;

/**
 * Tells whether a lease protects at this moment: until it was ended, or 24 hours after its newest heartbeat.
 *
 * One that can't be read always does. A heartbeat from the future is a fast clock's, and alive.
 */
export function isHeld({ lease }: HeldLease, now: Date): boolean {
  if (lease === undefined) return true;
  return !lease.ended && now.getTime() - lease.at.getTime() < leaseLifeMs;
}
