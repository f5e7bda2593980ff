import { Failure } from '../core/failure.ts';
import { formatBytes } from '../core/words.ts';
import { layout, type Place } from '../repository/layout.ts';
import { ofSecond } from '../repository/second-place.ts';
import { LackingFolder } from '../system/lacking.ts';
import { proveWriteOnce } from './check-destination.ts';
import { withSecondAlone, type SecondContext } from './second.ts';

/**
 * Proves that the second destination is this repository, keeps what a destination promises, and lacks nothing. Fails with what is
 * in the way; `attention` is for who reads.
 */
export async function checkSecond(context: SecondContext, place: Place): Promise<string> {
  return await withSecondAlone(context, async (repository) => {
    const { storage } = repository;
    try {
      const fault = (await storage.remarks()).find(({ is }) => is === 'fault');
      if (fault !== undefined) throw new Failure('refused', fault.text, { hint: fault.hint });
      const proven = await proveWriteOnce(repository, layout.probes(place), context.clock.now());
      const free = await storage.freeBytes();
      const lacking = (await new LackingFolder(context.unit.path).keys('second')).length;
      const behind = lacking === 0 ? 'it lacks nothing' : `${lacking} objects are still to be brought over`;
      return `${proven}${free === undefined ? '' : `; ${formatBytes(free)} free`}; ${behind}`;
    } catch (error) {
      throw ofSecond(error);
    }
  });
}
