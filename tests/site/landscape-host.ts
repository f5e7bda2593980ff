import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import {
  landscapeFiles,
  landscapeServices,
  type LandscapeProfile,
  type LandscapeSite,
  type UnitFile,
} from './landscape-files.ts';
import type { SiteMachine } from './machine.ts';

/** A machine on which Landscape Server is installed and runs. */
export interface LandscapeHost {
  readonly machine: SiteMachine;
  readonly site: LandscapeSite;
  /** Which of Landscape's services run now; ours, whose names begin like theirs, are none of them. */
  running(): Promise<readonly string[]>;
  /** Every database server that a service went to since the machine was made, as `service host`. */
  connections(): Promise<readonly string[]>;
}

export interface LandscapeHostOptions {
  /** The deployment's name, `production` unless it is said. */
  readonly site?: string;
  readonly profile?: LandscapeProfile;
  /** The package's version. */
  readonly version?: string;
  readonly storesHost?: string;
  readonly storesPassword?: string;
  /** That of the database, by which the package id files are named. */
  readonly serverUuid?: string;
  /** The number of the user `landscape`, which no two machines need to have in common. */
  readonly uid?: number;
  readonly isLeader?: boolean;
}

const programs = join(import.meta.dirname, 'programs', 'landscape');
const home = '/opt/canonical/landscape';

/** Installs Landscape Server as a deployment of its kind would have it, and starts its services. */
export async function makeLandscapeHost(
  machine: SiteMachine,
  options: LandscapeHostOptions = {},
): Promise<LandscapeHost> {
  const name = options.site ?? 'production';
  const site: LandscapeSite = {
    name,
    profile: options.profile ?? 'charmed',
    storesHost: options.storesHost ?? `database.${name}.example.com:5432`,
    storesPassword: options.storesPassword ?? `database password of ${name}`,
    serverUuid: options.serverUuid ?? randomUUID(),
  };
  const uid = String(options.uid ?? 890);
  await machine.run(['groupadd', '--system', '--gid', uid, 'landscape']);
  const account = ['--system', '--uid', uid, '--gid', 'landscape', '--home-dir', '/var/lib/landscape'];
  await machine.run(['useradd', ...account, '--no-create-home', '--shell', '/usr/sbin/nologin', 'landscape']);
  await installPrograms(machine);
  await machine.run(['sh', '-s'], { input: landscapeFiles(site).map(asShell).join('') });
  await installPackage(machine, options.version ?? '24.04.12-0landscape0');
  await machine.run(['systemctl', 'daemon-reload']);
  const units = [...landscapeServices, 'landscape-server.target'];
  await machine.run(['systemctl', 'enable', ...units]);
  if (options.isLeader === false) await stepDown(machine);
  await machine.run(['lsctl', 'start']);
  return {
    machine,
    site,
    running: async () => {
      const listed = [
        'list-units',
        '--no-legend',
        '--plain',
        '--state=active,activating',
        '--type=service',
        'landscape-*',
      ];
      const lines = (await machine.run(['systemctl', ...listed])).split('\n').filter(Boolean);
      const services = lines.map((line) => line.replace(/\.service .*/, ''));
      return services.filter((name) => !name.startsWith('landscape-backup-')).sort();
    },
    connections: async () =>
      (await machine.read('/var/log/landscape-server/connections.log')).split('\n').filter(Boolean),
  };
}

function asShell({ path, owner, mode, text, target }: UnitFile): string {
  if (target !== undefined) return `ln -s '${target}' '${path}'\n`;
  if (text === undefined) return `install -d '${path}' -m ${mode.toString(8)}\nchown ${owner} '${path}'\n`;
  const set = `chown ${owner} '${path}'\nchmod ${mode.toString(8)} '${path}'\n`;
  return `cat >'${path}' <<'the end of the file'\n${text}the end of the file\n${set}`;
}

async function installPrograms(machine: SiteMachine): Promise<void> {
  await machine.copyIn(programs, home);
  const hashIds = ['hash-id-databases-ignore-maintenance', 'scripts/hash_id_databases.sh'];
  const install = [
    `mkdir -p ${home}/scripts ${home}/configs/standalone`,
    `mv ${home}/lsctl ${home}/landscape-schema /usr/bin/`,
    ...hashIds.map((name) => `cp ${home}/hash-id-databases ${home}/${name}`),
    `touch ${home}/configs/standalone/hash-id-databases.conf`,
    `chmod 755 /usr/bin/lsctl /usr/bin/landscape-schema ${home}/* ${home}/scripts/*`,
  ];
  await machine.run(['sh', '-e', '-s'], { input: install.join('\n') });
  const target = `[Unit]
Description=Landscape Server
Wants=${landscapeServices.map((service) => `${service}.service`).join(' ')}
[Install]
WantedBy=multi-user.target
`;
  await machine.write('/usr/lib/systemd/system/landscape-server.target', target);
  for (const service of landscapeServices) {
    const unit = `[Unit]
Description=${service}
PartOf=landscape-server.target
[Service]
Type=exec
User=landscape
ExecStartPre=+/usr/bin/install -d -o landscape -g landscape /run/landscape
ExecStart=${home}/service ${service.replace('landscape-', '')}
[Install]
WantedBy=landscape-server.target
`;
    await machine.write(`/usr/lib/systemd/system/${service}.service`, unit);
  }
}

async function installPackage(machine: SiteMachine, version: string): Promise<void> {
  const entry = `
Package: landscape-server
Status: hold ok installed
Priority: optional
Section: misc
Maintainer: Landscape
Architecture: all
Version: ${version}
Description: management of Ubuntu machines
`;
  await machine.run(['sh', '-c', 'cat >>/var/lib/dpkg/status'], { input: entry });
  await machine.run(['touch', '/var/lib/dpkg/info/landscape-server.list']);
}

async function stepDown(machine: SiteMachine): Promise<void> {
  for (const service of leaderServices) {
    await machine.run(['systemctl', 'disable', '--now', service]);
    await machine.run(['systemctl', 'mask', service]);
  }
}

const leaderServices = ['landscape-package-search', 'landscape-package-upload'] as const;

/** What the landscape-server charm keeps between its hooks, and what its deployment gives it. */
interface Stored {
  readonly paused: boolean;
  readonly isLeader: boolean;
}
const storedFile = '/var/lib/landscape-server-charm.json';

async function stored(machine: SiteMachine): Promise<Stored> {
  const { exitCode, stdout } = await machine.execute(['cat', storedFile]);
  return exitCode === 0 ? (JSON.parse(stdout) as Stored) : { paused: false, isLeader: true };
}

async function keep(machine: SiteMachine, change: Partial<Stored>): Promise<void> {
  await machine.write(storedFile, JSON.stringify({ ...(await stored(machine)), ...change }));
}

const serviceConf = '/etc/landscape/service.conf';

/** Rewrites settings as the charm's parser does: comments are lost, all else stays. */
async function rewrite(
  machine: SiteMachine,
  changes: Readonly<Record<string, Readonly<Record<string, string>>>>,
): Promise<void> {
  const sections = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  for (const line of (await machine.read(serviceConf)).split('\n')) {
    const [, title] = /^\[(.*)\]$/.exec(line.trim()) ?? [];
    const [, key, value] = /^([^#;=\s][^=]*?)\s*=\s*(.*)$/.exec(line) ?? [];
    if (title !== undefined) sections.set(title, (section = sections.get(title) ?? new Map<string, string>()));
    else if (key !== undefined && value !== undefined) section.set(key, value);
  }
  for (const [title, keys] of Object.entries(changes)) {
    const changed = sections.get(title) ?? new Map<string, string>();
    for (const [key, value] of Object.entries(keys)) changed.set(key, value);
    sections.set(title, changed);
  }
  const text = [...sections].map(
    ([title, keys]) => `[${title}]\n${[...keys].map(([key, value]) => `${key} = ${value}\n`).join('')}\n`,
  );
  // Written over in place: owner and mode stay what they are.
  await machine.run(['sh', '-c', `cat >${serviceConf}`], { input: text.join('') });
}

async function restartUnlessPaused(machine: SiteMachine): Promise<void> {
  if (!(await stored(machine)).paused) await machine.run(['lsctl', 'restart']);
}

/** A leadership or peer event: the leader's services are unmasked and started even while the unit is paused. */
async function leaderChanged(machine: SiteMachine): Promise<void> {
  const { isLeader } = await stored(machine);
  await rewrite(machine, { 'package-search': { host: isLeader ? 'localhost' : 'leader.example.com' } });
  if (isLeader) {
    for (const service of leaderServices) {
      await machine.run(['systemctl', 'unmask', service]);
      await machine.run(['systemctl', 'enable', '--now', service]);
    }
  } else await stepDown(machine);
  await restartUnlessPaused(machine);
}

/** What the landscape-server charm's hooks do to a unit's machine. */
export const landscapeHooks = {
  'config-changed': async (machine: SiteMachine): Promise<void> => {
    const url = 'https://configured.example.com/';
    await rewrite(machine, {
      global: { 'deployment-mode': 'standalone', 'root-url': url },
      landscape: { workers: '2' },
      api: { workers: '2', 'root-url': url },
      'message-server': { workers: '2' },
      pingserver: { workers: '2' },
      'package-upload': { 'root-url': url },
    });
    await restartUnlessPaused(machine);
  },
  'leader-elected': async (machine: SiteMachine): Promise<void> => {
    await keep(machine, { isLeader: true });
    await leaderChanged(machine);
  },
  'leader-settings-changed': async (machine: SiteMachine): Promise<void> => {
    await keep(machine, { isLeader: false });
    await leaderChanged(machine);
  },
  'replicas-relation-changed': leaderChanged,
  'update-status': async (): Promise<void> => undefined,
};

/** The database relation told another server: the charm writes it down and prepares the schema there, paused or not. */
export async function landscapeDatabaseChanged(
  machine: SiteMachine,
  { host, password }: { readonly host: string; readonly password: string },
): Promise<void> {
  await rewrite(machine, {
    stores: { host, password },
    schema: { store_user: 'relation-9', store_password: password },
  });
  if ((await stored(machine)).isLeader) {
    await machine.run(['/usr/bin/landscape-schema', '--bootstrap', '--db-owner-role', 'postgres']);
  }
  await restartUnlessPaused(machine);
}

/** The landscape-server charm's actions. */
export const landscapeActions = {
  pause: async (machine: SiteMachine): Promise<void> => {
    await machine.run(['lsctl', 'stop']);
    await keep(machine, { paused: true });
  },
  resume: async (machine: SiteMachine): Promise<void> => {
    if ((await machine.execute(['lsctl', 'start'])).exitCode !== 0) {
      await machine.run(['lsctl', 'stop']);
      throw new Error(`the services of ${machine.name} did not start`);
    }
    await keep(machine, { paused: false });
  },
  'hash-id-databases': async (machine: SiteMachine): Promise<void> => {
    await machine.run([`${home}/hash-id-databases-ignore-maintenance`], { user: 'landscape' });
  },
};
