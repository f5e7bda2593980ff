import { rm, symlink, mkdir, appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { backupFiles } from '../../../src/jobs/landscape/backup-files.ts';
import { landscapeFacts } from '../../../src/jobs/landscape/facts.ts';
import { readFilesState } from '../../../src/jobs/landscape/files-state.ts';
import { listFiles } from '../../../src/jobs/landscape/list-files.ts';
import { Failure } from '../../../src/core/failure.ts';
import type { LandscapeProfile } from '../../../src/core/landscape-profile.ts';
import { readFileSet } from '../../../src/repository/file-sets.ts';
import type { Repository } from '../../../src/repository/repository.ts';
import { withPace } from '../../../src/storage/pace.ts';
import type { Storage } from '../../../src/storage/storage.ts';
import { isRoot, makeLandscapeUnit, sharedRepository, type LandscapeTestUnit } from '../../setup/landscape-unit.ts';

let repository: Repository;
let unit: LandscapeTestUnit;
const joining = { join: true };

async function make(profile: LandscapeProfile, settings: Readonly<Record<string, unknown>> = {}) {
  unit = await makeLandscapeUnit({ profile, whose: 'production', settings });
  return unit;
}

beforeEach(async () => {
  repository = await sharedRepository();
});

afterEach(async () => {
  await unit.remove();
});

async function kept() {
  return await backupFiles(unit.context, async () => repository, joining);
}

describe.skipIf(!isRoot)('the file set of a Landscape unit', () => {
  test('of a charmed one holds its configuration with owners by name, and says what is missing', async () => {
    await make('charmed');
    const { set, missingRequired } = await kept();

    const paths = set.files.map(({ path }) => path);
    expect(set.landscape).toEqual({
      profile: 'charmed',
      version: '24.04.14',
      databases: ['landscape-standalone-main'],
      serviceConfiguration: '/etc/landscape/service.conf',
    });
    expect(set.files.find(({ path }) => path === '/etc/landscape/service.conf')).toMatchObject({
      kind: 'file',
      mode: 0o600,
      owner: 'landscape',
      group: 'landscape',
    });
    for (const path of [
      '/etc/default/landscape-server',
      '/etc/landscape/license.d/free-license.txt',
      '/etc/systemd/system/landscape-api.service.d/limits.conf',
      '/var/lib/landscape-server/gnupg/private-keys-v1.d/key.key',
      '/var/lib/landscape/blobs/report-1',
      '/var/lib/landscape/landscape-repository/standalone/.gnupg/secring.gpg',
      '/var/lib/landscape/landscape-repository/standalone/ubuntu/conf/distributions',
      '/etc/cron.d/ls_maintenance',
      '/etc/environment',
    ])
      expect(paths).toContain(path);
    expect(paths.filter((path) => /pool|apache|hash-id|\.log|landscape-backup/.test(path))).toEqual([]);
    expect(set.missing).toContain('/etc/rsyslog.d/20-landscape.conf');
    expect(missingRequired).toEqual([]);
  });

  test('keeps to the limit of uploads', async () => {
    await make('charmed', { 'upload-limit': 100_000 });
    const paced: string[] = [];
    const storage: Storage = {
      ...withPace(repository.storage, { take: async () => undefined }),
      put: async (key, body, pace) => {
        if (pace !== undefined) paced.push(key);
        await repository.storage.put(key, body, pace);
      },
    };

    const { set } = await backupFiles(unit.context, async () => ({ ...repository, storage }), joining);

    expect(paced).toEqual([expect.stringContaining(`/${set.id}/files.tar.zst`)]);
  });

  test('has what a link of the configuration points to', async () => {
    await make('charmed');
    const { files } = (await kept()).set;

    expect(files.find(({ path }) => path === '/etc/landscape/custom.conf')).toMatchObject({
      kind: 'link',
      target: '../../srv/conf/custom.conf',
      owner: 'landscape',
    });
    expect(files.map(({ path }) => path)).toContain('/srv/conf/custom.conf');
  });

  test.each(['quickstart', 'manual'] as const)(
    'of a %s one has the certificates and keys that its virtual hosts name, wherever they lie',
    async (profile) => {
      await make(profile);
      const { set } = await kept();

      const paths = set.files.map(({ path }) => path);
      expect(set.landscape?.profile).toBe(profile === 'manual' ? 'quickstart' : profile);
      for (const path of [
        '/etc/apache2/sites-enabled/landscape.conf',
        '/etc/apache2/sites-available/landscape.conf',
        '/etc/ssl/certs/landscape_server.pem',
        '/etc/certificates/chain.pem',
        '/etc/letsencrypt/live/l/privkey.pem',
        '/etc/letsencrypt/archive/l/privkey1.pem',
        '/etc/postgresql/16/main/postgresql.conf',
      ])
        expect(paths).toContain(path);
      expect(set.files.find(({ path }) => path === '/etc/ssl/private/own.key')).toMatchObject({
        group: 'ssl-cert',
        mode: 0o640,
      });
      expect(paths).not.toContain('/etc/postgresql/16/main/start.conf');
    },
  );

  test('names a certificate that is not there as missing and required', async () => {
    await make('quickstart');
    await rm(join(unit.root, 'etc/certificates/chain.pem'));

    expect((await kept()).missingRequired).toEqual(['/etc/certificates/chain.pem']);
  });

  test('is stored only when something has changed', async () => {
    await make('charmed');
    const first = await kept();
    const second = await kept();
    await unit.write('/etc/landscape/license.txt', 'new license\n', { mode: 0o640 });
    const third = await kept();

    expect([first.isNew, second.isNew, third.isNew]).toEqual([true, false, true]);
    expect(second.set.id).toBe(first.set.id);
    expect((await listFiles(repository)).units).toMatchObject([
      { model: 'production-model', unit: 'landscape-backup/0', sets: [{}, {}] },
    ]);
  });

  test('has logs and further paths where the options say so', async () => {
    await make('charmed', { 'include-logs': true, 'extra-paths': '/srv/conf /srv/nowhere' });
    const { set, missingRequired } = await kept();

    expect(set.files.map(({ path }) => path)).toContain('/var/log/landscape-server/api.log');
    expect(missingRequired).toEqual(['/srv/nowhere']);
  });

  test('is never led outside by a link that Landscape could have made', async () => {
    await make('charmed');
    await mkdir(join(unit.root, 'root'));
    await unit.write('/root/shadow', 'root-secret\n', { mode: 0o600 });
    await rm(join(unit.root, 'var/lib/landscape/blobs'), { recursive: true });
    await symlink('/root', join(unit.root, 'var/lib/landscape/blobs'));
    await rm(join(unit.root, 'var/lib/landscape/landscape-repository/standalone/ubuntu'), { recursive: true });
    await symlink('/root', join(unit.root, 'var/lib/landscape/landscape-repository/standalone/ubuntu'));
    const { set } = await kept();

    const chunks: Uint8Array[] = [];
    for await (const chunk of readFileSet(repository, set)) chunks.push(chunk);
    expect(Buffer.concat(chunks).includes('root-secret')).toBe(false);
    expect(set.files.find(({ path }) => path === '/var/lib/landscape/blobs')?.kind).toBe('link');
  });

  test('is refused without a word which repository it is, and while a restore is under way', async () => {
    await make('charmed');

    await expect(backupFiles(unit.context, async () => repository, { join: false })).rejects.toMatchObject({
      kind: 'refused',
    });
  });

  test('is refused where there is no Landscape', async () => {
    await make('charmed');
    await rm(join(unit.root, 'etc/landscape'), { recursive: true });
    await rm(join(unit.root, 'etc/default/landscape-server'));

    await expect(kept()).rejects.toMatchObject({ kind: 'refused', message: /no Landscape Server/ });
  });
});

describe.skipIf(!isRoot)('the facts of a Landscape unit', () => {
  test('tell hosts, services and how its files are kept, and no secret', async () => {
    await make('quickstart');
    await rm(join(unit.root, 'etc/certificates/chain.pem'));
    const { set } = await kept();
    await unit.systemctl('start', 'landscape-server.target');
    const facts = await landscapeFacts(unit.context);

    expect(facts).toMatchObject({
      published: {
        profile: 'quickstart',
        version: '24.04.14',
        endpoints: {
          database: 'production-db.example.com:5432',
          broker: 'production-broker.example.com',
          packageSearch: 'production-search.example.com',
        },
        running: true,
        fenced: false,
      },
      files: {
        fenced: false,
        keptAt: new Date('2026-11-24T02:00:00Z'),
        count: set.files.length,
        missing: ['/etc/certificates/chain.pem'],
        failure: null,
        second: [],
      },
      landscape: { databases: ['landscape-standalone-main'], newestFileSet: { id: set.id }, faults: [] },
    });
    expect(facts.landscape.services).toContainEqual({ unit: 'landscape-api.service', state: 'active' });
    expect(facts.landscape.services.map(({ unit: name }) => name).join()).not.toMatch(/client|backup/);
    expect(JSON.stringify(facts)).not.toMatch(/password|token|cookie|proxy/);
  });

  test('are told as far as they can be where service.conf is broken', async () => {
    await make('charmed');
    await appendFile(join(unit.root, 'etc/landscape/service.conf'), 'hunter2 is no line\n');
    const facts = await landscapeFacts(unit.context);

    expect(facts.published).toBeNull();
    expect(facts.files.failure?.message).toMatch(/^line \d+ of \/etc\/landscape\/service\.conf/);
    expect(JSON.stringify(facts)).not.toContain('hunter2');
  });

  test('tell that files could not be kept, how often, and until when they were', async () => {
    await make('charmed');
    const { set } = await kept();
    const lost = async () => await Promise.reject(new Failure('unavailable', 'no route', { hint: 'Mount it.' }));
    for (let time = 0; time < 2; time += 1)
      await expect(backupFiles(unit.context, lost, joining)).rejects.toThrow('no route');

    expect((await landscapeFacts(unit.context)).files).toMatchObject({
      count: set.files.length,
      failure: { message: 'no route', hint: 'Mount it.' },
    });
    expect((await readFilesState(unit.context))?.failed).toMatchObject({ times: 2 });
    await kept();
    expect((await readFilesState(unit.context))?.failed).toBeNull();
  });
});
