/** How Landscape was put on a machine. */
export type LandscapeProfile = 'charmed' | 'quickstart' | 'manual';

/** A file of a Landscape unit, or a directory (`text` absent), or a link. */
export interface UnitFile {
  readonly path: string;
  readonly owner: string;
  readonly mode: number;
  readonly text?: string;
  readonly target?: string;
}

/** What makes one deployment's files differ from another's. */
export interface LandscapeSite {
  /** The deployment's name: it is in every address, secret and text, so that a test tells whose a file is. */
  readonly name: string;
  readonly profile: LandscapeProfile;
  readonly storesHost: string;
  readonly storesPassword: string;
  readonly serverUuid: string;
}

const user = 'landscape:landscape';
const root = 'root:root';

/** The configuration and state of a Landscape unit, with the owners and modes that one has. */
export function landscapeFiles(site: LandscapeSite): readonly UnitFile[] {
  return [...common(site), ...(site.profile === 'charmed' ? charmed(site) : byHand(site))];
}

/** The services of a unit; the last two only the leader runs. */
export const landscapeServices = [
  'landscape-api',
  'landscape-appserver',
  'landscape-async-frontend',
  'landscape-hostagent-messenger',
  'landscape-job-handler',
  'landscape-msgserver',
  'landscape-pingserver',
  'landscape-package-search',
  'landscape-package-upload',
] as const;

function common(site: LandscapeSite): readonly UnitFile[] {
  const hashed = ['jammy_amd64', 'jammy_arm64', 'noble_amd64', 'noble_arm64'];
  const directories = ['landscape-mail-queue', 'landscape-oops', 'blobs', 'hash-id-databases'];
  const repository = '/var/lib/landscape/landscape-repository/standalone';
  return [
    { path: '/etc/landscape', owner: root, mode: 0o755 },
    { path: '/etc/landscape/service.conf', owner: user, mode: 0o640, text: serviceConf(site) },
    { path: '/etc/landscape/license.d', owner: root, mode: 0o755 },
    { path: '/etc/landscape/license.d/free-license.txt', owner: 'root:landscape', mode: 0o640, text: 'free license\n' },
    { path: '/etc/default/landscape-server', owner: root, mode: 0o644, text: defaults(site) },
    { path: '/etc/cron.d/landscape-server', owner: root, mode: 0o644, text: cron },
    { path: '/var/log/landscape-server', owner: user, mode: 0o755 },
    { path: '/var/lib/landscape', owner: user, mode: 0o755 },
    ...directories.map((name) => ({ path: `/var/lib/landscape/${name}`, owner: user, mode: 0o755 })),
    ...hashed.map((name) => ({
      path: `/var/lib/landscape/hash-id-databases/${site.serverUuid}_${name}`,
      owner: user,
      mode: 0o644,
      text: `ids of ${site.serverUuid}\n`,
    })),
    { path: '/var/lib/landscape/blobs/report.xml', owner: user, mode: 0o644, text: `audit of ${site.name}\n` },
    { path: '/var/lib/landscape/landscape-repository', owner: user, mode: 0o755 },
    { path: repository, owner: user, mode: 0o755 },
    { path: `${repository}/.gnupg`, owner: user, mode: 0o700 },
    { path: `${repository}/.gnupg/pubring.kbx`, owner: user, mode: 0o600, text: `mirror keys of ${site.name}\n` },
    { path: `${repository}/ubuntu`, owner: user, mode: 0o755 },
    { path: `${repository}/ubuntu/conf`, owner: user, mode: 0o755 },
    ...['distributions', 'updates', 'pulls'].map((name) => ({
      path: `${repository}/ubuntu/conf/${name}`,
      owner: user,
      mode: 0o644,
      text: `${name} of ${site.name}\n`,
    })),
    { path: '/var/lib/landscape-server', owner: root, mode: 0o755 },
    { path: '/var/lib/landscape-server/gnupg', owner: user, mode: 0o700 },
    {
      path: '/var/lib/landscape-server/gnupg/secring',
      owner: user,
      mode: 0o600,
      text: `secret keys of ${site.name}\n`,
    },
    {
      path: '/var/lib/landscape-server/gpg-passphrase.txt',
      owner: user,
      mode: 0o600,
      text: `phrase of ${site.name}\n`,
    },
  ];
}

function charmed(site: LandscapeSite): readonly UnitFile[] {
  const dropIns = '/etc/systemd/system/landscape-api.service.d';
  return [
    { path: '/etc/landscape/license.txt', owner: 'landscape:root', mode: 0o640, text: `license of ${site.name}\n` },
    { path: '/etc/landscape/service.conf.old', owner: user, mode: 0o640, text: `[stores]\nhost = old.${site.name}\n` },
    { path: '/etc/ssl/certs/landscape_server_ca.crt', owner: root, mode: 0o644, text: `CA of ${site.name}\n` },
    { path: dropIns, owner: root, mode: 0o755 },
    {
      path: `${dropIns}/deployment-mode.conf`,
      owner: root,
      mode: 0o644,
      text: '[Service]\nEnvironment=MODE=standalone\n',
    },
  ];
}

function byHand(site: LandscapeSite): readonly UnitFile[] {
  const site443 = `<VirtualHost *:443>\n  ServerName ${site.name}.example.com\n</VirtualHost>\n`;
  const available = `/etc/apache2/sites-available/${site.profile === 'quickstart' ? `${site.name}.example.com` : 'landscape'}.conf`;
  return [
    { path: '/etc/apache2', owner: root, mode: 0o755 },
    { path: '/etc/apache2/sites-available', owner: root, mode: 0o755 },
    { path: '/etc/apache2/sites-enabled', owner: root, mode: 0o755 },
    { path: available, owner: root, mode: 0o644, text: site443 },
    {
      path: available.replace('available', 'enabled'),
      owner: root,
      mode: 0o777,
      target: available.replace('/etc/apache2', '..'),
    },
    { path: '/etc/ssl/certs/landscape_server.pem', owner: root, mode: 0o644, text: `certificate of ${site.name}\n` },
    { path: '/etc/ssl/private', owner: root, mode: 0o710 },
    { path: '/etc/ssl/private/landscape_server.key', owner: root, mode: 0o640, text: `key of ${site.name}\n` },
    { path: '/etc/cron.d/ls_maintenance', owner: root, mode: 0o644, text: `# of ${site.name}\n` },
    { path: '/etc/rabbitmq', owner: root, mode: 0o755 },
    { path: '/etc/rabbitmq/rabbitmq.conf', owner: root, mode: 0o644, text: `# of ${site.name}\n` },
  ];
}

function serviceConf({ name, profile, storesHost, storesPassword }: LandscapeSite): string {
  const root = `https://${name}.example.com/`;
  // The charm writes through a parser that knows no comments.
  const comment = profile === 'charmed' ? '' : `# The administrator of ${name} changed this by hand.\n`;
  return `${comment}[stores]
user = landscape
password = ${storesPassword}
host = ${storesHost}
main = landscape-standalone-main
account-1 = landscape-standalone-account-1
resource-1 = landscape-standalone-resource-1
package = landscape-standalone-package
session = landscape-standalone-session
session-autocommit = landscape-standalone-session?isolation=autocommit
knowledge = landscape-standalone-knowledge

[global]
oops-path = /var/lib/landscape/landscape-oops
syslog-address = /dev/log
deployment-mode = standalone
root-url = ${root}

[broker]
host = broker.${name}.example.com
port = 5672
user = landscape
password = broker password of ${name}
vhost = landscape
hostagent_virtual_host = landscape-hostagent

[landscape]
base-port = 8080
threads = 8
workers = 2
stores = main account-1 resource-1 package session session-autocommit knowledge
mailer-path = /var/lib/landscape/landscape-mail-queue
repository-path = /var/lib/landscape/landscape-repository
oops-key = L%(instance)s
secret-token = secret token of ${name}

[api]
base-port = 9080
workers = 2
root-url = ${root}
cookie-encryption-key = cookie key of ${name}

[message-server]
base-port = 8090
workers = 2

[pingserver]
base-port = 8070

[package-upload]
port = 9100
root-url = ${root}

[package-search]
port = 9099
stores = main package resource-1
host = localhost

[schema]
threads = 8
stores = main account-1 resource-1 package session knowledge
store_user = ${profile === 'charmed' ? 'relation-9' : 'landscape_superuser'}
store_password = schema password of ${name}

[maintenance]
threads = 1

[features]
customised-by = ${name}
`;
}

function defaults({ profile }: LandscapeSite): string {
  const isCharmed = profile === 'charmed';
  const names = [
    'APPSERVER',
    'ASYNC_FRONTEND',
    'JOBHANDLER',
    'MSGSERVER',
    'PINGSERVER',
    'APISERVER',
    'PACKAGESEARCH',
    'CRON',
  ];
  return [
    ...(isCharmed ? ['DEPLOYED_FROM="charm"'] : []),
    '# Which services run here.',
    `RUN_ALL="${isCharmed ? 'no' : 'yes'}"`,
    ...names.map((name) => `RUN_${name}="${isCharmed ? '2' : 'no'}"`),
    `UPGRADE_SCHEMA="${isCharmed ? 'no' : 'yes'}"`,
    '',
  ].join('\n');
}

const cron = `SHELL=/bin/sh
0 3 * * * landscape /opt/canonical/landscape/scripts/maintenance.sh
30 3 * * 7 landscape /opt/canonical/landscape/scripts/hash_id_databases.sh
`;
