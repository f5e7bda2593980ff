import { chmod, mkdir, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LandscapeProfile } from '../../../src/core/landscape-profile.ts';
import type { LandscapePlan } from '../../../src/core/landscape-restore.ts';
import { abandonFiles } from '../../../src/jobs/landscape/abandon-files.ts';
import { backupFiles } from '../../../src/jobs/landscape/backup-files.ts';
import { checkLandscape } from '../../../src/jobs/landscape/check.ts';
import { planFiles } from '../../../src/jobs/landscape/plan-files.ts';
import { quiesce } from '../../../src/jobs/landscape/quiesce.ts';
import { restoreFiles } from '../../../src/jobs/landscape/restore-files.ts';
import { resume } from '../../../src/jobs/landscape/resume.ts';
import { verifyFiles } from '../../../src/jobs/landscape/verify-files.ts';
import type { Repository } from '../../../src/repository/repository.ts';
import {
  isRoot,
  makeLandscapeUnit,
  sharedRepository,
  type LandscapeTestUnit,
  type UnitOptions,
} from '../../setup/landscape-unit.ts';

let repository: Repository;
let production: LandscapeTestUnit;
let spare: LandscapeTestUnit;
const open = async () => repository;
const all = ['/etc', '/var/lib/landscape', '/var/lib/landscape-server', '/srv', '/opt'];
/** The spare's numbers are others: owners come back by name. */
const numbers = { landscape: 61_001, sslCert: 61_002, adm: 61_003 };

async function make(profile: LandscapeProfile, changes: Partial<UnitOptions> = {}): Promise<LandscapePlan> {
  production = await makeLandscapeUnit({ profile, whose: 'production' });
  await backupFiles(production.context, async () => repository, { join: true });
  spare = await makeLandscapeUnit({ profile, whose: 'spare', numbers, ...changes });
  return await plan();
}

async function plan(credentials: LandscapePlan['credentials'] = 'spare'): Promise<LandscapePlan> {
  const from = 'production-model/landscape-backup/0';
  return await planFiles(spare.context, repository, { from, set: undefined, credentials });
}

async function whole(made: LandscapePlan) {
  const checked = await checkLandscape(spare.context, made, open);
  await quiesce(spare.context, made);
  const restored = await restoreFiles(spare.context, made, open);
  const verified = await verifyFiles(spare.context, made);
  const resumed = await resume(spare.context, made);
  return { checked, restored, verified, resumed };
}

beforeEach(async () => {
  repository = await sharedRepository();
});

afterEach(async () => {
  await production.remove();
  await spare.remove();
});

describe.skipIf(!isRoot)('the files of a quickstart unit on a spare', () => {
  test('come back with owners by name, modes and links, and point to no machine of production', async () => {
    const made = await make('quickstart');
    await spare.systemctl('start', 'landscape-server.target');
    const { verified, resumed } = await whole(made);

    const conf = await spare.read('/etc/landscape/service.conf');
    expect(conf).toContain('host = spare-db.example.com:5432\nuser = landscape\npassword = spare-database-password');
    expect(conf).toContain('secret-token = production-secret-token');
    expect(conf).toContain('production-feature = on');
    expect(conf).not.toMatch(/production-(db|broker|search)/);
    expect(verified.files).toBeGreaterThan(20);
    expect(await spare.read('/etc/certificates/chain.pem')).toBe('production-chain\n');
    expect(await spare.read('/etc/letsencrypt/live/l/privkey.pem')).toBe('production-letsencrypt\n');
    expect(await spare.snapshot('/etc/ssl/private/own.key')).toContain(` f 640 0 ${numbers.sslCert} `);
    expect(await spare.snapshot('/etc/landscape/custom.conf')).toContain(
      ` l 777 ${numbers.landscape} ${numbers.landscape} ../../srv/conf/custom.conf`,
    );
    expect(await spare.snapshot('/etc/landscape/service.conf')).toContain(
      ` f 600 ${numbers.landscape} ${numbers.landscape} `,
    );
    expect(resumed.services).toContainEqual(
      expect.objectContaining({ unit: 'landscape-api.service', state: 'active' }),
    );
  });

  test("keep the spare's own identity, drop-ins that point to production, and the rest of /etc/environment", async () => {
    const made = await make('quickstart');
    const { checked } = await whole(made);

    expect(await spare.read('/etc/landscape/client.conf')).toContain('spare.example.com');
    expect(await spare.read('/etc/landscape/postgres_client.key')).toBe('spare-database-key\n');
    expect(await spare.read('/etc/systemd/system/landscape-appserver.service.d/where.conf')).toContain('spare-broker');
    expect(await spare.read('/etc/systemd/system/landscape-api.service.d/limits.conf')).toContain('# production');
    expect(await spare.read('/etc/environment')).toBe(
      'PATH="/usr/bin"\nhttp_proxy=http://spare-proxy\nLANDSCAPE_STORES__HOST=spare-db.example.com\nLANDSCAPE_SYSTEM__PRODUCTION_MARK=1\n',
    );
    expect(await spare.read('/etc/default/landscape-server')).toContain('UPGRADE_SCHEMA="yes"');
    expect(checked.notes.join('\n')).toContain('where.conf does not come back: it would point the spare to production');
  });

  test('get hash-id databases of their own, made as landscape with a clean environment', async () => {
    process.env['PYTHONPATH'] = '/var/lib/juju/agents';
    const { resumed } = await whole(await make('quickstart'));
    delete process.env['PYTHONPATH'];

    const folder = join(spare.root, 'var/lib/landscape/hash-id-databases');
    expect(resumed.hashIds).toEqual({ is: 'made' });
    expect(await readdir(folder)).toEqual(['environment', 'new-uuid_noble_amd64']);
    expect(await readFile(join(folder, 'new-uuid_noble_amd64'), 'utf8')).toBe(`${numbers.landscape}\n`);
    expect(await readFile(join(folder, 'environment'), 'utf8')).not.toMatch(/juju|JUJU|VITEST/);
  });

  test('are there although hash-id databases could not be made', async () => {
    const made = await make('quickstart');
    const script = '/opt/canonical/landscape/hash-id-databases-ignore-maintenance';
    await spare.write(script, '#!/bin/sh\necho no network for production-secret-token >&2\nexit 3\n', { mode: 0o755 });
    const { resumed } = await whole(made);

    expect(resumed.hashIds).toMatchObject({ is: 'not-made', why: expect.stringContaining('exit code 3') });
    expect(JSON.stringify(resumed)).not.toContain('secret-token');
  });

  test('have production’s database passwords where the plan says so', async () => {
    await make('quickstart');
    const made = await plan('production');
    await whole(made);

    const conf = await spare.read('/etc/landscape/service.conf');
    expect(conf).toContain('password = production-database-password');
    expect(conf).toContain('host = spare-db.example.com:5432');
    expect(conf).toContain('password = spare-broker-password');
  });

  test('leave nothing of a secret in what is told, nor in names that others may read', async () => {
    const told = JSON.stringify(await whole(await make('quickstart')));

    expect(told).not.toMatch(
      /-(database-password|broker-password|secret-token|cookie-key|private-key|license|gnupg|ring|proxy)\b/,
    );
    for (const path of ['landscape', 'landscape/previous', 'landscape/restore'])
      expect((await stat(join(spare.context.home, path))).mode & 0o077).toBe(0);
  });

  test('are undone to the byte, mode, owner and link, also when the restore is done', async () => {
    const made = await make('quickstart');
    await chmod(join(spare.root, 'etc/landscape'), 0o750);
    await spare.systemctl('start', 'landscape-server.target');
    const before = await spare.snapshot(...all);
    await whole(made);
    const abandoned = await abandonFiles(spare.context, made);

    const after = await spare.snapshot(...all);
    expect(withoutHashIds(after)).toBe(withoutHashIds(before));
    expect(abandoned.services).toContainEqual(
      expect.objectContaining({ unit: 'landscape-api.service', state: 'active' }),
    );
    expect(await abandonFiles(spare.context, made)).toMatchObject({ files: 0 });
  });

  test('are undone before they were restored', async () => {
    const made = await make('quickstart');
    await spare.systemctl('start', 'landscape-server.target');
    const before = await spare.snapshot(...all);
    await checkLandscape(spare.context, made, open);
    await quiesce(spare.context, made);
    await abandonFiles(spare.context, made);

    expect(await spare.snapshot(...all)).toBe(before);
    expect(await spare.systemctl('is-active', 'landscape-api.service')).toBe('active');
    expect(await readdir(join(spare.context.home, 'landscape', 'restore'))).toEqual([`${made.planId}.json`]);
  });

  test('are said not to be what was restored when somebody changed them', async () => {
    const made = await make('quickstart');
    await quiesce(spare.context, made);
    await restoreFiles(spare.context, made, open);
    await spare.write('/etc/certificates/chain.pem', 'other\n');
    await chmod(join(spare.root, 'etc/landscape/license.txt'), 0o666);
    await spare.write(
      '/etc/landscape/service.conf',
      (await spare.read('/etc/landscape/service.conf')).replace('spare-db', 'production-db'),
    );

    const failed = await verifyFiles(spare.context, made).catch((error: unknown) => error);
    expect(String(failed)).toMatch(
      /chain\.pem has other contents.*license\.txt has the mode 666.*points to production/,
    );
  });

  test('are verified although the charm or a person wrote service.conf in another form', async () => {
    const made = await make('quickstart');
    await quiesce(spare.context, made);
    await restoreFiles(spare.context, made, open);
    const conf = await spare.read('/etc/landscape/service.conf');
    await spare.write('/etc/landscape/service.conf', conf.replaceAll(/^#.*\n/gm, '').replaceAll(' = ', '='), {
      mode: 0o600,
      uid: numbers.landscape,
      gid: numbers.landscape,
    });

    await expect(verifyFiles(spare.context, made)).resolves.toMatchObject({
      endpoints: { database: 'spare-db.example.com:5432' },
    });
  });
});

function withoutHashIds(text: string): string {
  return text
    .split('\n')
    .filter((line) => !line.includes('hash-id-databases/'))
    .join('\n');
}

describe.skipIf(!isRoot)('the files of a charmed unit on a spare', () => {
  test('wait for the principal’s pause, leave the charm its own, and say what only the operator can do', async () => {
    const made = await make('charmed');
    await spare.systemctl('start', 'landscape-server.target');
    await expect(quiesce(spare.context, made)).rejects.toMatchObject({
      kind: 'refused',
      hint: 'juju run landscape-server/0 pause',
    });
    await spare.systemctl('stop', 'landscape-server.target');
    const { restored, resumed } = await whole(made);

    const conf = await spare.read('/etc/landscape/service.conf');
    expect(conf).toContain('secret-token = spare-secret-token');
    expect(conf).toContain('production-feature = on');
    expect(await spare.read('/etc/default/landscape-server')).toMatch(/^DEPLOYED_FROM="charm"\n/);
    expect(resumed.notes).toContain("the services are the charm's: juju run landscape-server/0 resume");
    expect(await spare.systemctl('is-active', 'landscape-api.service')).toBe('inactive');
    const told = restored.operator.join('\n');
    expect(told).toContain('juju config landscape-server secret_token=@secret_token');
    expect(told).toContain("juju config landscape-server root_url='https://production.example.com/'");
    expect(told).not.toMatch(/production-(secret-token|cookie-key)/);
    const file = /sudo cat (\S+\/secret_token)/.exec(told)?.[1] ?? '';
    expect(await readFile(file, 'utf8')).toBe('production-secret-token');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });
});

describe.skipIf(!isRoot)('a restore of files', () => {
  test('is refused without its fence, for another profile, and for endpoints that are not those of the plan', async () => {
    const made = await make('quickstart');
    await expect(restoreFiles(spare.context, made, open)).rejects.toMatchObject({
      kind: 'refused',
      message: /not fenced/,
    });
    await expect(checkLandscape(spare.context, { ...made, profile: 'manual' }, open)).rejects.toMatchObject({
      message: /this unit is quickstart/,
    });
    await expect(checkLandscape(spare.context, { ...made, endpointsDigest: 'x' }, open)).rejects.toMatchObject({
      message: /endpoints are not those/,
    });
  });

  test('is refused before anything is touched where a name can’t be placed or an owner is not known', async () => {
    const made = await make('quickstart');
    await quiesce(spare.context, made);
    await rm(join(spare.root, 'etc/certificates/chain.pem'));
    await mkdir(join(spare.root, 'etc/certificates/chain.pem'));
    const before = await spare.snapshot(...all);
    await expect(restoreFiles(spare.context, made, open)).rejects.toMatchObject({
      message: /chain\.pem is a directory here/,
    });
    await spare.write('/etc/group', 'root:x:0:\n');

    await expect(checkLandscape(spare.context, made, open)).rejects.toMatchObject({ message: /group landscape/ });
    await spare.write('/etc/group', await production.read('/etc/group'));
    expect((await spare.snapshot(...all)).replaceAll(/.*\/etc\/group .*\n/g, '')).toBe(
      before.replaceAll(/.*\/etc\/group .*\n/g, ''),
    );
  });

  test('never follows a link that Landscape could have made', async () => {
    const made = await make('quickstart');
    await spare.write('/root/report-1', 'mine\n');
    await rm(join(spare.root, 'var/lib/landscape/blobs'), { recursive: true });
    await symlink('/root', join(spare.root, 'var/lib/landscape/blobs'));
    await quiesce(spare.context, made);

    await expect(restoreFiles(spare.context, made, open)).rejects.toMatchObject({ kind: 'refused' });
    expect(await spare.read('/root/report-1')).toBe('mine\n');
  });

  test('says that a newer Landscape would migrate the databases', async () => {
    const made = await make('quickstart', { version: '26.04.1' });

    expect((await checkLandscape(spare.context, made, open)).notes.join()).toContain(
      'it may migrate the restored databases',
    );
  });

  test('needs no destination once its files are staged', async () => {
    const made = await make('quickstart');
    await checkLandscape(spare.context, made, open);
    await quiesce(spare.context, made);

    await restoreFiles(spare.context, made, async () => await Promise.reject(new Error('no route')));
    await verifyFiles(spare.context, made);
  });

  test('fences: neither a hook nor a reboot starts Landscape, and the fence goes as it came', async () => {
    const made = await make('quickstart');
    await spare.systemctl('start', 'landscape-server.target');
    await quiesce(spare.context, made);
    await quiesce(spare.context, made);
    await spare.systemctl('start', 'landscape-server.target');
    await spare.systemctl('start', 'landscape-package-search.service');
    expect(await spare.systemctl('is-active', 'landscape-package-search.service')).toBe('inactive');
    await spare.reboot();
    expect(await spare.systemctl('is-active', 'landscape-api.service')).toBe('inactive');
    expect(await spare.read('/opt/canonical/landscape/maintenance.txt')).toContain('landscape-backup');
    await expect(backupFiles(spare.context, async () => repository, { join: true })).rejects.toMatchObject({
      message: /under way/,
    });
    await expect(quiesce(spare.context, { ...made, planId: 'another' })).rejects.toMatchObject({ kind: 'refused' });

    await resume(spare.context, made);
    expect(await spare.systemctl('is-active', 'landscape-package-search.service')).toBe('active');
    expect(await spare.snapshot('/etc/systemd', '/opt')).not.toMatch(/fence|maintenance\.txt/);
  });

  test('keeps Landscape’s own maintenance flag where it was set before', async () => {
    const made = await make('charmed');
    await spare.write('/opt/canonical/landscape/maintenance.txt', 'lsctl stop\n');
    await quiesce(spare.context, made);
    await resume(spare.context, made);

    expect(await spare.read('/opt/canonical/landscape/maintenance.txt')).toBe('lsctl stop\n');
  });

  test('fails when a service that ran does not start again, and goes on when it does', async () => {
    const made = await make('quickstart');
    await spare.systemctl('start', 'landscape-server.target');
    await quiesce(spare.context, made);
    await spare.write('/run/systemctl/fail/landscape-api.service', '');
    await expect(resume(spare.context, made)).rejects.toMatchObject({ message: /landscape-api\.service is failed/ });
    await rm(join(spare.root, 'run/systemctl/fail/landscape-api.service'));

    const { services } = await resume(spare.context, made);
    expect(services.every(({ state }) => state === 'active')).toBe(true);
  });
});
