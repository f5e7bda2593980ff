import { Option } from 'commander';
import { init as join } from '../jobs/init.ts';
import type { Initialized } from '../jobs/init.ts';
import { flag, type Verb } from './program.ts';

/** `init`: joins a cluster to the repository. */
export const init: Verb = {
  name: 'init',
  summary: 'create the repository, or join it, and start archiving',
  help: `Creates the repository at the option destination when there is none (nothing else ever creates one), claims the
cluster's WAL for this machine, and sets archiving. It may be repeated. A restart of PostgreSQL that archiving
needs is announced, and done only with "restart-postgresql: true".

  echo 'destination: /srv/backup' > /var/lib/landscape-backup/settings.yaml
  landscape-backup init
  landscape-backup check`,
  options: [new Option('--join', 'use the repository that is there, even where this machine used another one')],
  run: async (context, options) => {
    const done = await join(context, { join: flag(options, 'join') });
    return { text: describe(done, context.cluster.label), json: { init: toJson(done) } };
  },
};

function toJson({ repositoryId, url, created, systemIdentifier, standing, archiving, restarted }: Initialized) {
  return {
    repository: { id: repositoryId, url, created },
    systemIdentifier,
    standing: standing.is,
    incarnation: standing.is === 'owner' ? standing.incarnation.number : null,
    archiving: archiving?.is ?? 'unknown',
    restarted,
  };
}

function describe(
  { repositoryId, url, created, systemIdentifier, standing, archiving, restarted }: Initialized,
  label: string,
): string {
  const lines = [`${created ? 'created' : 'joined'} the repository ${repositoryId} at ${url}`];
  if (standing.is === 'owner')
    lines.push(`cluster ${label} (${systemIdentifier}) owns incarnation ${standing.incarnation.number}`);
  if (standing.is === 'copy') {
    lines.push(
      `cluster ${label} (${systemIdentifier}) is a copy of one that belongs to another owner: it is not archived`,
    );
    lines.push('  next: landscape-backup take-over makes it its own line; or leave it a copy.');
  }
  if (archiving?.note !== undefined) lines.push(`  ${archiving.note}`);
  if (restarted) lines.push('PostgreSQL was restarted');
  if (archiving?.is === 'on')
    lines.push('archiving is on', '  next: landscape-backup backup, then landscape-backup check');
  if (archiving?.is === 'restart-needed') {
    lines.push(`archiving waits for a restart of PostgreSQL (${archiving.waiting.join(', ')})`);
    lines.push(
      `  next: restart it when it suits you (systemctl restart postgresql@${label.replace('/', '-')}), then landscape-backup init`,
    );
  }
  if (archiving?.is === 'off' && standing.is === 'owner') lines.push('archiving is off: backups have no point in time');
  return lines.join('\n');
}
