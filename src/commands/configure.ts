import { configure as reconcile } from '../jobs/configure.ts';
import { withRepository } from './context.ts';
import type { Verb } from './program.ts';

/** `configure`: the first step of `run-due` alone. */
export const configure: Verb = {
  name: 'configure',
  summary: 'bring archiving in line with the settings and the repository, now',
  help: `run-due does it every minute by itself; this is for who has changed a setting and wants to see what comes of it. PostgreSQL is
restarted only where a setting needs it and "restart-postgresql" is true.`,
  run: async (context) =>
    await withRepository(context, async (repository) => {
      const { standing, archiving, restarted } = await reconcile(context, repository);
      const { label } = context.cluster;
      const lines = [`cluster ${label}: archiving is ${archiving?.is ?? 'unknown, it does not run'}`];
      if (archiving?.note !== undefined) lines.push(`  ${archiving.note}`);
      if (archiving?.is === 'restart-needed') {
        lines.push(`  ${archiving.waiting.join(', ')} wait for a restart of PostgreSQL`);
        lines.push(`  next: restart it when it suits you: systemctl restart postgresql@${label.replace('/', '-')}`);
      }
      const configured = {
        standing: standing.is,
        incarnation: standing.is === 'owner' ? standing.incarnation.number : null,
        archiving: archiving?.is ?? 'unknown',
        waiting: archiving?.waiting ?? [],
        note: archiving?.note ?? null,
        restarted,
      };
      return { text: lines.join('\n'), json: { configured } };
    }),
};
