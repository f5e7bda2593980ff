import { Failure } from '../core/failure.ts';
import { run } from '../system/process.ts';

/** One of Landscape's units of systemd. */
export interface Service {
  readonly unit: string;
  /** As systemd says it: `active`, `inactive`, `failed`, `activating`, … */
  readonly state: string;
  /** It runs, or is about to begin or to end. */
  readonly isRunning: boolean;
  /** Somebody has masked or disabled it: the charm does that with what runs on the leader only. */
  readonly isWanted: boolean;
}

export const target = 'landscape-server.target';

/** A stop waits for messages that are being handled, a start for the database. */
const actionTimeoutMs = 10 * 60_000;

/**
 * Landscape's units on this machine and how they are: the target, its services (those that systemd makes of init scripts up to
 * 24.04 too), the snaps. The client and ourselves are none of them.
 */
export async function readServices(): Promise<readonly Service[]> {
  const { stdout } = await run(
    'systemctl',
    ['list-unit-files', '--no-legend', '--no-pager', '--plain', 'landscape-*', 'snap.landscape-*'],
    { answers: [1] },
  );
  const listed = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  const units = listed.flatMap(([name = '', state]) => {
    const isTheirs = /^[^@]+\.(service|target)$/.test(name) && !/^landscape-(backup|client)\b/.test(name);
    return isTheirs && state !== 'alias' ? [name] : []; // An alias is told by its unit's own name.
  });
  if (units.length === 0) return [];
  const shown = await run('systemctl', ['show', '--property=Id,LoadState,ActiveState,UnitFileState', ...units]);
  const services = shown.stdout.split(/\n\s*\n/).flatMap((block) => {
    const properties = new Map(
      block.split('\n').map((line) => [line.split('=')[0] ?? '', line.replace(/^[^=]*=/, '')]),
    );
    const unit = properties.get('Id');
    const state = properties.get('ActiveState') ?? 'unknown';
    if (unit === undefined || properties.get('LoadState') === 'not-found') return [];
    const isOff = /^(masked|disabled)/.test(properties.get('UnitFileState') ?? '');
    return [{ unit, state, isRunning: !/^(inactive|failed)$/.test(state), isWanted: !isOff }];
  });
  const untold = units.filter((unit) => !shown.stdout.split('\n').includes(`Id=${unit}`));
  // A unit that is overlooked here would be neither stopped nor fenced.
  if (untold.length > 0 || shown.stdout.split(/\n\s*\n/).length < units.length) {
    throw new Failure('machine', `systemctl show does not tell how each of Landscape's units is: ${untold.join(', ')}`);
  }
  return services.sort((a, b) => (a.unit < b.unit ? -1 : 1));
}

/** Stops units and waits until they have ended. */
export async function stopServices(units: readonly string[]): Promise<void> {
  if (units.length > 0) await run('systemctl', ['stop', ...units], { timeoutMs: actionTimeoutMs });
}

/** Starts units, one by one, and says how each is then. One that does not start is told, not thrown. */
export async function startServices(units: readonly string[]): Promise<readonly Service[]> {
  const first = [...units].sort((a, b) => Number(b === target) - Number(a === target));
  for (const unit of first) {
    await run('systemctl', ['start', unit], { timeoutMs: actionTimeoutMs, answers: failedStart });
  }
  return (await readServices()).filter(({ unit }) => units.includes(unit));
}

/** What `systemctl start` says when the unit fails, is masked, or is not there. */
const failedStart = [1, 3, 4, 5, 6];

/** Has systemd read its files again. */
export async function reloadSystemd(): Promise<void> {
  await run('systemctl', ['daemon-reload'], { timeoutMs: actionTimeoutMs });
}
