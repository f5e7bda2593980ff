import {
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  type LifecycleRule,
} from '@aws-sdk/client-s3';
import type { S3Bucket } from './s3-bucket.ts';
import { isS3Refusal, S3Refusal } from './s3-failure.ts';
import type { Remark } from './storage.ts';

/** What the bucket's own rules would do to a repository: delete what is needed, or keep what was pruned. */
export async function remarksOnRules(bucket: S3Bucket): Promise<readonly Remark[]> {
  const Bucket = bucket.name;
  const { asker } = bucket;
  const all = await Promise.all([
    look('lifecycle rules', async () => {
      const answer = await asker.ask(
        async (client) => await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket })),
      );
      return (answer.Rules ?? []).flatMap((rule) => remarkOnRule(rule, bucket.prefix) ?? []);
    }),
    look('versioning', async () => {
      const { Status } = await asker.ask(
        async (client) => await client.send(new GetBucketVersioningCommand({ Bucket })),
      );
      return Status === 'Enabled' ? [versioned] : [];
    }),
    look('object lock', async () => {
      const answer = await asker.ask(
        async (client) => await client.send(new GetObjectLockConfigurationCommand({ Bucket })),
      );
      return answer.ObjectLockConfiguration?.Rule?.DefaultRetention === undefined ? [] : [locked];
    }),
  ]);
  return all.flat();
}

/** Says what a rule would do to objects below the prefix, if it would. */
export function remarkOnRule(rule: LifecycleRule, prefix: string): Remark | undefined {
  if (rule.Status !== 'Enabled') return undefined;
  // A rule with tags or sizes may meet some of ours; which ones is not looked into.
  const scope = rule.Filter?.Prefix ?? rule.Filter?.And?.Prefix ?? prefixOf(rule) ?? '';
  if (!scope.startsWith(prefix) && !prefix.startsWith(scope)) return undefined;
  const name = `the lifecycle rule "${rule.ID ?? 'without a name'}" of the bucket`;
  const { Days, Date: at } = rule.Expiration ?? {};
  if (Days !== undefined || at !== undefined) {
    const when = Days === undefined ? `on ${at?.toISOString() ?? '?'}` : `after ${Days} days`;
    return {
      is: 'fault',
      text: `${name} deletes objects ${when}, whatever still needs them: backups would lose their WAL`,
      hint: 'Remove the rule, or keep it away from this folder: retention-count and retention-days do this job.',
    };
  }
  const moved = (rule.Transitions ?? []).find(({ StorageClass }) => /GLACIER$|DEEP_ARCHIVE/.test(StorageClass ?? ''));
  if (moved === undefined) return undefined;
  return {
    is: 'fault',
    text: `${name} moves objects to ${moved.StorageClass ?? 'an archive'}, from where nothing can be read at once`,
    hint: 'Keep the rule away from this folder: a restore would fail.',
  };
}

/** The rule's prefix as it was written before there were filters. */
function prefixOf(rule: LifecycleRule): string | undefined {
  return rule.Prefix;
}

const versioned: Remark = {
  is: 'note',
  text: 'the bucket keeps versions: what prune removes goes on taking room until a lifecycle rule removes noncurrent versions',
};
const locked: Remark = {
  is: 'note',
  text: 'the bucket locks new objects: what prune removes goes on taking room until their lock ends',
};

async function look(what: string, ask: () => Promise<readonly Remark[]>): Promise<readonly Remark[]> {
  try {
    return await ask();
  } catch (error) {
    if (isS3Refusal(error, 'AccessDenied') || (error instanceof S3Refusal && error.status === 403)) {
      return [
        {
          is: 'note',
          text: `this access key may not look at the bucket's ${what}: make sure that none deletes objects`,
        },
      ];
    }
    // "There are none", in the words of different stores, and of those who don't know such rules at all.
    if (error instanceof S3Refusal) return [];
    throw error;
  }
}
