import { Failure } from '../core/failure.ts';
import { formatBytes } from '../core/words.ts';
import { ofSecond } from '../repository/second-place.ts';
import { LackingFolder } from '../system/lacking.ts';
import { proveWriteOnce } from './check-destination.ts';
import { withSecondAlone, type SecondPlace } from './second.ts';

/**
 * Proves that the second destination is this repository, keeps what a destination promises, and lacks nothing. Fails with what is
 * in the way. `probes` is a folder in which this unit may write.
 */
export async function checkSecond(context: SecondPlace, probes: string): Promise<string> {
  return await withSecondAlone(context, async (repository) => {
    const { storage } = repository;
    try {
      const fault = (await storage.remarks()).find(({ is }) => is === 'fault');
      if (fault !== undefined) throw new Failure('refused', fault.text, { hint: fault.hint });
      const proven = await proveWriteOnce(repository, probes, context.clock.now());
      const free = await storage.freeBytes();
      const lacking = (await new LackingFolder(context.unit.path).keys('second')).length;
      const behind = lacking === 0 ? 'it lacks nothing' : `${lacking} objects are still to be brought over`;
      return `${proven}${free === undefined ? '' : `; ${formatBytes(free)} free`}; ${behind}`;
    } catch (error) {
      throw ofSecond(error);
    }
  });
}
