import { withIdentities } from '../../core/encryption.ts';
import {
  forgetServedIdentities,
  keepServedIdentities,
  readServedIdentities,
} from '../../archiver/served-identities.ts';
import type { JobContext } from '../job-context.ts';
import type { RestoreContext } from './restore-context.ts';

/**
 * Keeps what opens the repository for as long as the restore is under way: for `restore-wal`, and for who goes on with it. A
 * restore that is gone on with without any has what the earlier run was given.
 */
export async function keepIdentities({ unit, repository, settings }: RestoreContext): Promise<void> {
  const { identities } = settings.encryption;
  if (!repository.keys.isEncrypted) await forgetServedIdentities(unit);
  else if (identities.length > 0) await keepServedIdentities(unit, identities);
}

/** What the restore under way was given is at hand again for who goes on with it. */
export async function withKeptIdentities<C extends Pick<JobContext, 'settings' | 'unit'>>(context: C): Promise<C> {
  const { settings, unit } = context;
  const encryption = withIdentities(settings.encryption, await readServedIdentities(unit));
  return { ...context, settings: { ...settings, encryption } };
}
