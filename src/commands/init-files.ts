import { Option } from 'commander';
import { joinRepository } from '../jobs/landscape/join-repository.ts';
import { landscapeContext } from './landscape-context.ts';
import { flag, type Verb } from './program.ts';

/** `init-files`: joins a Landscape unit whose database is kept by somebody else. */
export const initFiles: Verb = {
  name: 'init-files',
  as: 'root',
  summary: "create the repository, or join it, for a Landscape unit's files alone",
  help: `For a Landscape whose database is kept elsewhere. Where a PostgreSQL unit is kept too, its "init" comes first: the
repository has to belong to a group that PostgreSQL's user is in.`,
  options: [new Option('--join', 'use the repository that is there, even where this machine used another one')],
  run: async (root, options) => {
    const joined = await joinRepository(await landscapeContext(root), { join: flag(options, 'join') });
    return {
      text: `${joined.created ? 'created' : 'joined'} the repository ${joined.id} at ${joined.url}\n  next: landscape-backup backup-files`,
      json: { joined },
    };
  },
};
