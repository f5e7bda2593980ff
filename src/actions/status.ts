import { findingText } from '../core/health-facts.ts';
import { stepText } from '../core/job-text.ts';
import { inJujuWords } from '../core/juju-words.ts';
import { isPending } from '../core/job.ts';
import { statusOf } from '../hooks/status.ts';
import { settingsOf } from '../hooks/snapshot.ts';
import { restoreTurnOf } from '../hooks/restore-stage.ts';
import { addresseeOf, type Action } from './action.ts';

/** `status`: what juju status shows, with everything behind it. */
export const status: Action = {
  name: 'status',
  run: async ({ snapshot }) => {
    const settings = settingsOf(snapshot, snapshot.application.repository?.id);
    const turn = restoreTurnOf(snapshot);
    const said = statusOf({ snapshot, settings, turn });
    const to = addresseeOf(snapshot);
    const { cluster, landscape, jobs } = snapshot.local;
    const files = landscape?.files.second ?? [];
    const details = [...(cluster?.health?.details ?? []), ...files].map((each) =>
      findingText({ ...each, next: each.next === null ? null : inJujuWords(each.next, to) }),
    );
    const running = jobs
      .filter(isPending)
      .map(({ id, progress }) => `job ${id}: ${progress === undefined ? 'begins' : stepText(progress)}`);
    return {
      text: [`${said.status}: ${said.message}`, ...details, ...running].join('\n'),
      json: {
        status: said.status,
        message: said.message,
        health: cluster?.health ?? null,
        lag: cluster?.lag ?? null,
        wal: cluster?.wal ?? null,
        ...(landscape === undefined ? {} : { files: { second: files } }),
        restore: turn === undefined ? null : { planId: turn.intent.planId, kind: turn.intent.kind, step: turn.step },
        jobs: jobs.map(({ id, verb, state }) => ({ id, verb, state })),
      },
    };
  },
};
