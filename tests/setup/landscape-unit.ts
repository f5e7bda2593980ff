import { chmod, chown, lchown, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { execa } from 'execa';
import type { LandscapeProfile } from '../../src/core/landscape-profile.ts';
import type { LandscapeContext } from '../../src/jobs/landscape/context.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import { parseSettings } from '../../src/core/settings.ts';
import { unitFolder } from '../../src/system/home.ts';

/** Tests that give files away need root; elsewhere they are skipped, and vitest says so. */
export const isRoot = process.geteuid?.() === 0;

/** The numbers differ from machine to machine, the names do not. */
interface Numbers {
  readonly landscape: number;
  readonly sslCert: number;
  readonly adm: number;
}

/** A Landscape unit's file system below a directory of its own, and a double of systemctl that knows its units. */
export interface LandscapeTestUnit {
  readonly root: string;
  readonly numbers: Numbers;
  readonly context: LandscapeContext;
  write(path: string, text: string, rights?: Rights): Promise<void>;
  read(path: string): Promise<string>;
  /** Every name with kind, mode, owner by number, target and contents. */
  snapshot(...paths: string[]): Promise<string>;
  /** Calls the double as somebody else on the machine would: a hook of the principal, a person. */
  systemctl(...args: string[]): Promise<string>;
  reboot(): Promise<void>;
  remove(): Promise<void>;
}

interface Rights {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** What makes one unit differ from another. */
export interface UnitOptions {
  readonly profile: LandscapeProfile;
  /** Stands in every secret and endpoint of the unit: `production` or `spare`. */
  readonly whose: string;
  readonly numbers?: Numbers;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly version?: string;
}

const units = ['landscape-api', 'landscape-appserver', 'landscape-msgserver', 'landscape-package-search'];

/** Makes a unit. The double of systemctl of the unit that was made last is the one on PATH; `use` changes that. */
export async function makeLandscapeUnit(options: UnitOptions): Promise<LandscapeTestUnit> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'lb-landscape-')));
  const numbers = options.numbers ?? { landscape: 60_010, sslCert: 60_011, adm: 60_012 };
  const home = join(root, 'var/lib/landscape-backup/landscape-backup-0');
  const write: LandscapeTestUnit['write'] = async (path, text, { mode = 0o644, uid = 0, gid = 0 } = {}) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
    await chown(join(root, path), uid, gid);
    await chmod(join(root, path), mode);
  };
  await chmod(root, 0o755);
  await mkdir(home, { recursive: true });
  await writeSystem(root, write, numbers, options);
  await writeLandscape(root, write, numbers, options);
  if (options.profile !== 'charmed') await writeFront(root, write, numbers, options);
  await writeDouble(root);
  usePath(root);
  const systemctl = async (...args: string[]) => (await execa(join(root, 'bin/systemctl'), args)).stdout;
  await systemctl('daemon-reload');
  return {
    root,
    numbers,
    context: contextOf(root, home, options),
    write,
    read: async (path) => await readFile(join(root, path), 'utf8'),
    snapshot: async (...paths) => await snapshot(root, paths),
    systemctl,
    reboot: async () => void (await systemctl('reboot')),
    remove: async () => {
      process.env['PATH'] = (process.env['PATH'] ?? '')
        .split(delimiter)
        .filter((each) => !each.startsWith(root))
        .join(delimiter);
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** Puts a unit's double of systemctl in front. */
function usePath(root: string): void {
  const others = (process.env['PATH'] ?? '').split(delimiter).filter((each) => each !== join(root, 'bin'));
  process.env['PATH'] = [join(root, 'bin'), ...others].join(delimiter);
}

function contextOf(root: string, home: string, { whose, profile, settings }: UnitOptions): LandscapeContext {
  return {
    home,
    settings: parseSettings({ destination: '/srv/backup', ...settings }),
    unit: unitFolder(home, 'landscape'),
    identity: { model: `${whose}-model`, application: 'landscape-backup', unit: 'landscape-backup/0' },
    principal: profile === 'charmed' ? 'landscape-server/0' : null,
    called: null,
    jujuVersion: null,
    machine: { root },
    clock: { now: () => new Date('2026-11-24T02:00:00Z') },
    signal: undefined,
    progress: () => undefined,
  };
}

/** A repository in memory, and units told to use it. */
export async function sharedRepository(): Promise<Repository> {
  const { repository } = await createRepository(new MemoryDestination().open(), new Date('2026-11-24T00:00:00Z'));
  return repository;
}

type Write = LandscapeTestUnit['write'];

async function writeSystem(root: string, write: Write, numbers: Numbers, options: UnitOptions): Promise<void> {
  const { landscape, sslCert, adm } = numbers;
  await write(
    '/etc/passwd',
    `root:x:0:0:root:/root:/bin/sh\nlandscape:x:${landscape}:${landscape}::/var/lib/landscape:/bin/sh\n`,
  );
  await write('/etc/group', `root:x:0:\nlandscape:x:${landscape}:\nssl-cert:x:${sslCert}:\nadm:x:${adm}:\n`);
  const deb = (name: string, version: string) =>
    `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\nMaintainer: a\nDescription: b\n\n`;
  const quickstart = options.profile === 'quickstart' ? deb('landscape-server-quickstart', '1') : '';
  await write('/var/lib/dpkg/status', deb('landscape-server', options.version ?? '24.04.14') + quickstart);
  await write(
    '/etc/environment',
    `PATH="/usr/bin"\nhttp_proxy=http://${options.whose}-proxy\nLANDSCAPE_STORES__HOST=${options.whose}-db.example.com\nLANDSCAPE_SYSTEM__${options.whose.toUpperCase()}_MARK=1\n`,
  );
  await mkdir(join(root, 'etc/systemd/system'), { recursive: true });
}

async function writeLandscape(root: string, write: Write, numbers: Numbers, options: UnitOptions): Promise<void> {
  const { whose, profile } = options;
  const owned = { uid: numbers.landscape, gid: numbers.landscape };
  await write('/etc/landscape/service.conf', serviceConf(whose), {
    mode: whose === 'production' ? 0o600 : 0o640,
    ...owned,
  });
  await write('/etc/landscape/license.txt', `${whose}-license\n`, { mode: 0o640, uid: numbers.landscape });
  await write('/etc/landscape/client.conf', `[client]\nurl = https://${whose}.example.com\n`, { mode: 0o600 });
  await write('/etc/landscape/postgres_client.key', `${whose}-database-key\n`, { mode: 0o400, ...owned });
  const deployed = profile === 'charmed' ? 'DEPLOYED_FROM="charm"\n' : '';
  const runs = profile === 'charmed' ? 'RUN_ALL="no"\nRUN_APPSERVER="2"\n' : 'RUN_ALL="yes"\n';
  await write(
    '/etc/default/landscape-server',
    `${deployed}# words\n${runs}UPGRADE_SCHEMA="${whose === 'production' ? 'yes' : 'no'}"\n`,
  );
  await write('/etc/systemd/system/landscape-api.service.d/limits.conf', `[Service]\n# ${whose}\nLimitNOFILE=4096\n`);
  await write(
    '/etc/systemd/system/landscape-appserver.service.d/where.conf',
    `[Service]\nEnvironment=LANDSCAPE_BROKER__HOST=${whose}-broker.example.com\n`,
  );
  if (whose === 'production') {
    await write('/etc/cron.d/ls_maintenance', '0 1 * * * landscape /bin/true\n');
    await write('/etc/landscape/license.d/free-license.txt', 'production-free\n', {
      mode: 0o640,
      gid: numbers.landscape,
    });
    await write('/srv/conf/custom.conf', 'production-custom\n');
    await symlink('../../srv/conf/custom.conf', join(root, 'etc/landscape/custom.conf'));
    await lchown(join(root, 'etc/landscape/custom.conf'), numbers.landscape, numbers.landscape);
    await write('/var/lib/landscape-server/gnupg/private-keys-v1.d/key.key', 'production-gnupg\n', {
      mode: 0o600,
      ...owned,
    });
    for (const path of ['gnupg', 'gnupg/private-keys-v1.d']) {
      await chown(join(root, 'var/lib/landscape-server', path), owned.uid, owned.gid);
      await chmod(join(root, 'var/lib/landscape-server', path), 0o700);
    }
  }
  await write('/var/lib/landscape/blobs/report-1', `${whose}-blob\n`, owned);
  await write(`/var/lib/landscape/hash-id-databases/${whose}-uuid_noble_amd64`, whose, owned);
  await write('/var/lib/landscape/landscape-repository/standalone/ubuntu/conf/distributions', `${whose}\n`, owned);
  await write('/var/lib/landscape/landscape-repository/standalone/ubuntu/pool/huge.deb', 'huge', owned);
  await write('/var/lib/landscape/landscape-repository/standalone/.gnupg/secring.gpg', `${whose}-ring`, {
    mode: 0o600,
    ...owned,
  });
  for (const path of ['', 'blobs', 'hash-id-databases', 'landscape-repository', 'landscape-repository/standalone'])
    await chown(join(root, 'var/lib/landscape', path), owned.uid, owned.gid);
  await chmod(join(root, 'var/lib/landscape/landscape-repository/standalone/.gnupg'), 0o700);
  await write('/var/log/landscape-server/api.log', `${whose}-log\n`, { mode: 0o640, gid: numbers.adm });
  await write(
    '/opt/canonical/landscape/hash-id-databases-ignore-maintenance',
    `#!/bin/sh\nenv > ${root}/var/lib/landscape/hash-id-databases/environment\nid -u > ${root}/var/lib/landscape/hash-id-databases/new-uuid_noble_amd64\n`,
    { mode: 0o755 },
  );
}

async function writeFront(root: string, write: Write, { sslCert }: Numbers, { whose }: UnitOptions): Promise<void> {
  await write(
    '/etc/apache2/sites-available/landscape.conf',
    `ServerName ${whose}.example.com\nSSLCertificateFile /etc/ssl/certs/landscape_server.pem\nSSLCertificateKeyFile /etc/ssl/private/own.key\nInclude conf-available/tls.conf\n`,
  );
  await write('/etc/apache2/conf-available/tls.conf', 'SSLCertificateChainFile /etc/certificates/chain.pem\n');
  await write('/etc/certificates/chain.pem', `${whose}-chain\n`);
  await write('/etc/ssl/certs/landscape_server.pem', `${whose}-certificate\n`);
  await write('/etc/ssl/private/own.key', `${whose}-private-key\n`, { mode: 0o640, gid: sslCert });
  await mkdir(join(root, 'etc/apache2/sites-enabled'), { recursive: true });
  await symlink('../sites-available/landscape.conf', join(root, 'etc/apache2/sites-enabled/landscape.conf'));
  if (whose !== 'production') return;
  await write('/etc/letsencrypt/archive/l/privkey1.pem', 'production-letsencrypt\n', { mode: 0o600 });
  await mkdir(join(root, 'etc/letsencrypt/live/l'), { recursive: true });
  await symlink('../../archive/l/privkey1.pem', join(root, 'etc/letsencrypt/live/l/privkey.pem'));
  await write('/etc/postgresql/16/main/postgresql.conf', 'port = 5432\n');
  await write('/etc/postgresql/16/main/start.conf', 'disabled\n');
}

/** A service.conf in which every secret and endpoint says whose it is. */
function serviceConf(whose: string): string {
  return `# words of ${whose}
[stores]
host = ${whose}-db.example.com:5432
user = landscape
password = ${whose}-database-password
main = landscape-standalone-main
sslkey = /etc/landscape/postgres_client.key

[broker]
host = ${whose}-broker.example.com
password = ${whose}-broker-password

[landscape]
secret-token = ${whose}-secret-token
workers = 2

[api]
cookie-encryption-key = ${whose}-cookie-key
root-url = https://${whose}.example.com/

[package-search]
host = ${whose}-search.example.com

[features]
${whose}-feature = on
`;
}

async function snapshot(root: string, paths: readonly string[]): Promise<string> {
  const there = paths.map((path) => join(root, path));
  const { stdout } = await execa(
    'find',
    [
      ...there,
      '-printf',
      '%p %y %m %U %G %l ',
      '(',
      '-type',
      'f',
      '-exec',
      'sha256sum',
      '{}',
      ';',
      '-o',
      '-printf',
      '\\n',
      ')',
    ],
    { reject: false },
  );
  return stdout.replaceAll(root, '').split('\n').sort().join('\n');
}

/** Units with states, drop-ins that count when they were loaded, and conditions that are honoured, across a reboot too. */
async function writeDouble(root: string): Promise<void> {
  const script = `#!/bin/bash
R=${root}; S=$R/run/systemctl; mkdir -p $S/loaded $S/fail
all="landscape-server.target ${units.map((unit) => `${unit}.service`).join(' ')}"
state() { cat $S/$1 2>/dev/null || echo inactive; }
held() { # whether a loaded condition keeps a unit from starting
  for f in $S/loaded/$1.d/*.conf; do
    [ -f "$f" ] || continue
    while IFS= read -r line; do
      case $line in ConditionPathExists=!*) p=\${line#ConditionPathExists=!}; [ ! -e "\${p//%%/%}" ] || return 0 ;; esac
    done < "$f"
  done
  return 1
}
start() {
  if held $1; then return 0; fi
  if [ -e $S/fail/$1 ]; then echo failed > $S/$1; return 1; fi
  echo active > $S/$1
}
reload() { rm -rf $S/loaded; mkdir -p $S/loaded; cp -r $R/etc/systemd/system/*.d $S/loaded/ 2>/dev/null; return 0; }
verb=$1; shift
args=(); for a in "$@"; do [ "$a" = -- ] || args+=("$a"); done
case $verb in
  list-unit-files) for u in $all landscape-client.service landscape-backup-due.service; do echo "$u enabled enabled"; done ;;
  show) for u in "\${args[@]:1}"; do printf 'Id=%s\\nLoadState=loaded\\nActiveState=%s\\nUnitFileState=enabled\\n\\n' $u $(state $u); done ;;
  start) rc=0; for u in "\${args[@]}"; do start $u || rc=1; if [ $u = landscape-server.target ] && ! held $u; then for v in $all; do start $v; done; fi; done; exit $rc ;;
  stop) for u in "\${args[@]}"; do echo inactive > $S/$u; if [ $u = landscape-server.target ]; then for v in $all; do echo inactive > $S/$v; done; fi; done ;;
  is-active) state \${args[0]} ;;
  daemon-reload) reload ;;
  reboot) for u in $all; do rm -f $S/$u; done; reload; for u in $all; do start $u; done; exit 0 ;;
  *) echo "systemctl $verb is not known here" >&2; exit 2 ;;
esac
`;
  await mkdir(join(root, 'bin'), { recursive: true });
  await writeFile(join(root, 'bin/systemctl'), script, { mode: 0o755 });
}
