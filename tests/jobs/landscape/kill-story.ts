import { execa } from 'execa';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { backupFiles } from '../../../src/jobs/landscape/backup-files.ts';
import { planFiles } from '../../../src/jobs/landscape/plan-files.ts';
import { isSharedFolder } from '../../../src/repository/layout.ts';
import { createRepository, type Repository } from '../../../src/repository/repository.ts';
import { openDirectory } from '../../../src/storage/directory.ts';
import { makeLandscapeUnit, type LandscapeTestUnit } from '../../setup/landscape-unit.ts';
import { killContext, restoreStages, runStages } from './kill-stages.ts';

/** What a restore of files may change. */
const places = ['/etc', '/var/lib/landscape', '/var/lib/landscape-server', '/srv', '/opt'];
const child = new URL('kill.child.ts', import.meta.url).pathname;

/** A production whose files are kept, on which any number of spares are restored and killed. */
export interface KillSite {
  readonly destination: string;
  readonly repository: Repository;
  readonly production: LandscapeTestUnit;
  remove(): Promise<void>;
}

/** Makes a production with one file set. */
export async function makeKillSite(): Promise<KillSite> {
  const destination = await mkdtemp(join(tmpdir(), 'lb-kill-'));
  const storage = await openDirectory(destination, { url: `file://${destination}`, isShared: isSharedFolder });
  const { repository } = await createRepository(storage, new Date('2026-11-24T00:00:00Z'));
  const production = await makeLandscapeUnit({ profile: 'quickstart', whose: 'production' });
  await backupFiles(production.context, async () => repository, { join: true });
  return {
    destination,
    repository,
    production,
    remove: async () => {
      await production.remove();
      await rm(destination, { recursive: true });
    },
  };
}

/** What is killed, where, and what is asked for then. */
export interface KillStory {
  readonly killed: 'restore' | 'abandon';
  /** Before which change to the file system; undefined is never. */
  readonly at: number | undefined;
  readonly next: 'restore' | 'abandon';
}

/** Tells one story on a spare of its own and holds the promises; says how many changes there were when nobody was killed. */
export async function tellKillStory(site: KillSite, { killed, at, next }: KillStory): Promise<number> {
  const spare = await makeLandscapeUnit({ profile: 'quickstart', whose: 'spare' });
  try {
    await spare.systemctl('start', 'landscape-server.target');
    const before = await look(spare);
    const from = 'production-model/landscape-backup/0';
    const { planId } = await planFiles(spare.context, site.repository, { from, set: undefined, credentials: 'spare' });
    const context = killContext(spare.root, spare.context.home);
    const stages = { restore: restoreStages, abandon: ['abandon'] } as const;
    if (killed === 'abandon') await runStages(context, site.destination, planId, restoreStages);
    const args = [spare.root, spare.context.home, site.destination, planId, stages[killed].join(','), String(at ?? 0)];
    const ran = await execa(process.execPath, [child, ...args], { reject: false });
    expect([ran.signal, ran.exitCode, ran.stderr], ran.stderr).toEqual(
      at === undefined ? [undefined, 0, ''] : ['SIGKILL', undefined, ''],
    );
    const half = await look(spare);
    if (at !== undefined && killed === 'restore' && half !== before) await expectFencedOrWhole(spare, half);
    await spare.reboot();
    await runStages(context, site.destination, planId, stages[next]);

    const after = await look(spare);
    if (next === 'abandon') expect(after).toBe(before);
    else expect(await spare.read('/etc/certificates/chain.pem')).toBe('production-chain\n');
    expect(after).not.toMatch(/landscape-backup-|fence|maintenance\.txt/);
    for (const unit of ['landscape-server.target', 'landscape-api.service'])
      expect(await spare.systemctl('is-active', unit)).toBe('active');
    return Number(ran.stdout);
  } finally {
    await spare.remove();
  }
}

/** As long as files are neither the old ones nor all of the new ones nobody can start Landscape. */
async function expectFencedOrWhole(spare: LandscapeTestUnit, half: string): Promise<void> {
  const fenced = await access(join(spare.context.unit.path, 'fenced')).then(
    () => true,
    () => false,
  );
  if (fenced) return;
  // Before the fence stands nothing but its own parts has come, and after it everything has.
  const isOld = half.includes('/etc/certificates/chain.pem') && !half.includes('/srv/conf/custom.conf');
  const isNew = half.includes('/etc/letsencrypt/live') && half.includes('/var/lib/landscape-server/gnupg');
  expect(isOld || isNew, half).toBe(true);
}

async function look(unit: LandscapeTestUnit): Promise<string> {
  const text = await unit.snapshot(...places);
  return text
    .split('\n')
    .filter((line) => !line.includes('hash-id-databases/') && !line.includes('/var/lib/landscape-backup'))
    .join('\n');
}

/** Numbers that look like chance and come again with the same seed. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}
