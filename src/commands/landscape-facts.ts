import { findingText } from '../core/health-facts.ts';
import { landscapeUnitFactsSchema } from '../core/landscape-facts.ts';
import { formatBytes } from '../core/words.ts';
import { landscapeFacts as ask, type LandscapeReport } from '../jobs/landscape/facts.ts';
import { landscapeContext } from './landscape-context.ts';
import type { Verb } from './program.ts';

/** `landscape-facts`: what this Landscape unit is at the moment. */
export const landscapeFacts: Verb = {
  name: 'landscape-facts',
  as: 'root',
  summary: 'tell what this Landscape unit is: how installed, what runs, where it connects to',
  help: 'Changes nothing, asks no destination and tells no secret. The charm publishes it; a plan is made from it.',
  run: async (root) => {
    const { published, files, landscape } = await ask(await landscapeContext(root));
    const { newestFileSet, ...told } = landscape;
    const newest =
      newestFileSet === null ? null : { id: newestFileSet.id, takenAt: newestFileSet.takenAt.toISOString() };
    return {
      text: describe({ published, files, landscape }),
      json: {
        ...landscapeUnitFactsSchema.encode({ published, files }),
        landscape: { ...told, newestFileSet: newest },
      },
    };
  },
};

function describe({ published, files, landscape }: LandscapeReport): string {
  const { databases, services, room, fencedFor, faults } = landscape;
  const lines =
    published === null
      ? ['there is no Landscape Server on this machine, or it could not be looked at']
      : [
          `Landscape ${published.version ?? 'of unknown version'}, ${published.profile}; databases: ${databases.join(', ')}`,
          ...Object.entries(published.endpoints).map(([name, host]) => `${name}: ${host ?? 'not told'}`),
        ];
  return [
    ...lines,
    ...services.map(({ unit, state }) => `${unit}: ${state}`),
    ...Object.entries(room).map(([place, bytes]) => `free at ${place}: ${formatBytes(bytes)}`),
    files.keptAt === null ? 'its files are not kept yet' : `its files are kept as of ${files.keptAt.toISOString()}`,
    ...files.second.map(findingText),
    ...(fencedFor === null ? [] : [`FENCED for the restore of plan ${fencedFor}: nobody can start it`]),
    ...faults.map((fault) => `could not be told: ${fault}`),
  ].join('\n');
}
