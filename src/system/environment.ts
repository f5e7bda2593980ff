/** The environment variables that programs of ours read; the only file that touches `process.env`. */
export const environment = {
  /** Where local state lives unless `--home` says otherwise; without it the machine is looked at. */
  home: (): string | undefined => process.env['LANDSCAPE_BACKUP_HOME'],
  /** Where postgresql-common keeps clusters' configuration; its own variable. */
  clusterConfigurationRoot: (): string => process.env['PG_CLUSTER_CONF_ROOT'] ?? '/etc/postgresql',
  /** Where systemd wants to hear from a service of type notify; absent where nobody listens. */
  notifySocket: (): string | undefined => process.env['NOTIFY_SOCKET'],
  /** After how many microseconds of silence systemd kills it. */
  watchdogUsec: (): string | undefined => process.env['WATCHDOG_USEC'],
  /** The proxies through which the network is reached, in the words of everybody. */
  proxies: (): Readonly<Record<string, string | undefined>> => ({
    HTTP_PROXY: process.env['HTTP_PROXY'] ?? process.env['http_proxy'],
    HTTPS_PROXY: process.env['HTTPS_PROXY'] ?? process.env['https_proxy'],
    NO_PROXY: process.env['NO_PROXY'] ?? process.env['no_proxy'],
  }),
  /** Everything, for who is told what to do by variables, as Juju tells a charm. */
  all: (): Readonly<Record<string, string | undefined>> => ({ ...process.env }),
  /** This environment without what Juju gave to one hook: who starts later is in none, and Juju refuses who seems to be. */
  outsideHooks: (): Readonly<Record<string, string>> =>
    Object.fromEntries(
      Object.entries(process.env).flatMap(([name, value]) =>
        value === undefined || name.startsWith('JUJU_') ? [] : [[name, value]],
      ),
    ),
} as const;
