import type { LandscapeHost } from '../site/landscape-host.ts';

/** What a spare's charmed Landscape unit gets from production as it was. */
const roots = [
  '/etc/landscape/license.txt',
  '/etc/landscape/license.d',
  '/var/lib/landscape-server',
  '/var/lib/landscape/blobs',
  '/var/lib/landscape/landscape-repository/standalone/.gnupg',
  '/var/lib/landscape/landscape-repository/standalone/ubuntu/conf',
];

/** Each file of a Landscape unit that a restore brings to another: its path, owner, mode and the digest of its contents. */
export async function kept({ machine }: LandscapeHost): Promise<readonly string[]> {
  const script = `find ${roots.join(' ')} -type f | sort | while read -r file; do
    echo "$file $(stat -c '%U:%G %a' "$file") $(sha256sum <"$file")"
  done`;
  return (await machine.run(['sh', '-c', script])).split('\n');
}

/** How a Landscape unit fits the database that it uses. */
export interface Fits {
  /** The roles of its service.conf whose passwords the database takes. */
  readonly passwords: readonly string[];
  /** The database servers that its services went to, ever. */
  readonly connected: readonly string[];
  /** The server identities by which its hash-id databases are named. */
  readonly hashIds: readonly string[];
}

/** Asks with what lies on the unit. */
export async function fitsOf(host: LandscapeHost): Promise<Fits> {
  const { machine } = host;
  const setting = async (section: string, key: string) =>
    await machine.run(['/opt/canonical/landscape/setting', section, key]);
  const [server = '', port = ''] = (await setting('stores', 'host')).split(':');
  const passwords: string[] = [];
  for (const [section, user, password] of [
    ['stores', 'user', 'password'],
    ['schema', 'store_user', 'store_password'],
  ] as const) {
    const role = await setting(section, user);
    const asked = [
      'psql',
      '-X',
      '-At',
      '-h',
      server,
      '-p',
      port,
      '-U',
      role,
      '-d',
      'landscape-standalone-main',
    ] as const;
    const env = { PGPASSWORD: await setting(section, password) };
    if ((await machine.execute([...asked, '-c', 'select 1'], { env })).exitCode === 0) passwords.push(role);
  }
  const names = await machine.run(['ls', '/var/lib/landscape/hash-id-databases']);
  return {
    passwords,
    connected: [...new Set((await host.connections()).map((line) => line.split(' ')[1] ?? ''))],
    hashIds: [...new Set(names.split('\n').map((name) => name.split('_')[0] ?? ''))],
  };
}
