import type { Health } from '../core/health.ts';
import { assess } from '../core/health.ts';
import { findingText } from '../core/health-facts.ts';
import { readHealthFacts } from '../jobs/status.ts';
import type { Verb } from './program.ts';

/** What `status` exits with where a person has to act; a script needs no text to know. */
const exitCodeByLevel = { ok: 0, attention: 0, alarm: 12, blocked: 12 } as const;

/** `status`: one sentence, and the next step. */
export const status: Verb = {
  name: 'status',
  summary: 'say in one sentence whether and to when this cluster can be restored',
  help: `Looks at the cluster, this machine and the repository, remembers nothing and changes nothing. The first line is the
worst that was found; "next:" is what to do about it. Exit code 12: somebody has to act.`,
  run: async (context) => {
    const facts = await readHealthFacts(context);
    const health = assess(facts);
    const lag = facts.archiving?.lag ?? null;
    const { stream = null, line: wal = null, second } = facts;
    return {
      text: describe(health),
      json: { status: health, lag, stream, wal, ...(second === undefined ? {} : { second }) },
      exitCode: exitCodeByLevel[health.level],
    };
  },
};

function describe(health: Health): string {
  return [health, ...health.details].map(findingText).join('\n');
}
