import { Refused } from './refused.ts';

/** What differs between the versions of Juju that charms meet. */
export interface Behaviour {
  readonly version: string;
  readonly major: number;
  /** What `additionalProperties` of an action means where it is left out. */
  readonly additionalProperties: boolean;
  /** `leader-get` and `leader-set` are there. */
  readonly leaderSettings: boolean;
  /** Units find `private-address` in bags of relations. */
  readonly privateAddress: boolean;
  /** Whether `execution-group` and `parallel` of an action are heard. */
  readonly executionGroups: boolean;
  readonly execProgram: 'juju-exec' | 'juju-run';
  /** JUJU_SLA is set. */
  readonly sla: boolean;
  /** Options of the type `secret`, and the tools for secrets. */
  readonly secrets: boolean;
}

/** What a version of Juju does. */
export function behaviourOf(version: string): Behaviour {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < 2 || major > 4 || (major === 2 && minor !== 9)) throw new Refused(`Juju ${version} is not simulated`);
  return {
    version,
    major,
    additionalProperties: major < 4,
    leaderSettings: major < 4,
    privateAddress: major < 4,
    executionGroups: major > 2,
    execProgram: major > 2 ? 'juju-exec' : 'juju-run',
    sla: major < 4,
    secrets: major > 2,
  };
}

/** Tells whether `version` is at least `other`; both as `3.6.27`, missing parts are 0. */
export function isAtLeast(version: string, other: string): boolean {
  const parts = (text: string) => text.split('.').map(Number);
  const [ours, theirs] = [parts(version), parts(other)];
  for (let n = 0; n < 3; n += 1) {
    const difference = (ours[n] ?? 0) - (theirs[n] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
