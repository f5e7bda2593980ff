import { landscapeFacts as ask } from '../jobs/landscape/facts.ts';
import { formatBytes } from '../core/words.ts';
import { landscapeContext, withLandscapeRepository } from './landscape-context.ts';
import type { Verb } from './program.ts';

/** `landscape-facts`: what this Landscape unit is at the moment. */
export const landscapeFacts: Verb = {
  name: 'landscape-facts',
  as: 'root',
  summary: 'tell what this Landscape unit is: how installed, what runs, where it connects to',
  help: 'Changes nothing and tells no secret. The charm publishes it; a plan is made from it.',
  run: async (root) => {
    const context = await landscapeContext(root);
    const facts = await withLandscapeRepository(context, async (open) => await ask(context, open));
    const { newestFileSet, ...told } = facts;
    const newest =
      newestFileSet === null ? null : { id: newestFileSet.id, takenAt: newestFileSet.takenAt.toISOString() };
    const lines = [
      facts.profile === 'none'
        ? 'there is no Landscape Server on this machine'
        : `Landscape ${facts.version ?? 'of unknown version'}, ${facts.profile}; databases: ${facts.databases.join(', ')}`,
      facts.paused ? 'nothing of it runs' : 'it runs:',
      ...facts.services.map(({ unit, state }) => `  ${unit} ${state}`),
      ...Object.entries(facts.endpoints ?? {}).map(([name, host]) => `${name}: ${String(host ?? 'not told')}`),
      ...Object.entries(facts.room).map(([place, bytes]) => `free at ${place}: ${formatBytes(bytes)}`),
      newest === null ? 'it has no file set' : `newest file set: ${newest.id} of ${newest.takenAt}`,
    ];
    if (facts.fenced !== null) lines.push(`FENCED for the restore of plan ${facts.fenced}: nobody can start it`);
    lines.push(...facts.faults.map((fault) => `could not be told: ${fault}`));
    return { text: lines.join('\n'), json: { landscape: { ...told, newestFileSet: newest } } };
  },
};
