import { execa } from 'execa';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { until, type WaitingWal } from './waiting-wal.ts';

/** Where the peer works, and on what. */
export interface PeerSite {
  /** Where its repository is: options of its, such as `repo1-path=…`. */
  readonly repo: readonly string[];
  /** A folder for its locks, spool and logs. */
  readonly own: string;
  readonly stanza: string;
  readonly dataDirectory: string;
  /** Other options, and other options of the stanza. */
  readonly more?: readonly string[];
  readonly server?: readonly string[];
}

/** The peer's configuration file: zstd at level 1, as many processes as cores. */
export function peerConfiguration({ repo, own, stanza, dataDirectory, more = [], server = [] }: PeerSite): string {
  const lines = [
    '[global]',
    ...repo,
    `lock-path=${own}`,
    `log-path=${own}`,
    `spool-path=${own}`,
    'log-level-console=error',
    'log-level-file=off',
    'compress-type=zst',
    'compress-level=1',
    `process-max=${availableParallelism()}`,
    'archive-mode-check=n',
    ...more,
    `[${stanza}]`,
    `pg1-path=${dataDirectory}`,
    ...server,
    '',
  ];
  return lines.join('\n');
}

/** pgBackRest over the same WAL, with as many processes as cores, asynchronous. */
export class Peer {
  readonly #bench: WaitingWal;
  readonly #root: string;

  /** How often its repository was made: each time a new one, or it would find its files from before. */
  #made = 0;
  readonly #repo: (made: number) => readonly string[];

  /** With its repository in a directory of its own, or where `repo` says, a new place each time. */
  constructor(bench: WaitingWal, repo?: (made: number) => readonly string[]) {
    this.#bench = bench;
    this.#root = join(bench.archived.machine.root, 'pgbackrest');
    this.#repo = repo ?? (() => [`repo1-path=${join(this.#root, 'repo')}`]);
  }

  get spool(): string {
    return join(this.#root, 'own', 'archive', 'bench');
  }

  args(more: readonly string[], dataDirectory = this.#bench.archived.cluster.dataDirectory): readonly string[] {
    return [
      'pgbackrest',
      `--config=${join(this.#root, 'config')}`,
      '--stanza=bench',
      `--pg1-path=${dataDirectory}`,
      ...more,
    ];
  }

  async make(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
    for (const name of ['repo', 'own']) await mkdir(join(this.#root, name), { recursive: true });
    this.#made += 1;
    const configuration = peerConfiguration({
      repo: this.#repo(this.#made),
      own: join(this.#root, 'own'),
      stanza: 'bench',
      dataDirectory: this.#bench.archived.cluster.dataDirectory,
      more: ['archive-async=y', 'archive-get-queue-max=256MB', 'archive-timeout=60'],
    });
    await writeFile(join(this.#root, 'config'), configuration);
    const [command = '', ...args] = this.args(['--no-online', 'stanza-create']);
    await execa(command, args);
  }

  async forgetFetched(): Promise<void> {
    await rm(join(this.spool, 'in'), { recursive: true, force: true });
  }

  async drain(): Promise<{ seconds: number; peakMiB: number }> {
    await this.make();
    const { cluster } = this.#bench.archived;
    const [command = '', ...args] = this.args(['archive-push', `pg_wal/${this.#bench.names[0] ?? ''}`]);
    const began = performance.now();
    await execa(command, args, { cwd: cluster.dataDirectory });
    await until(async () => {
      const done = (await readdir(join(this.spool, 'out')).catch(() => [])).filter((name) => name.endsWith('.ok'));
      return done.length >= this.#bench.names.length;
    });
    return { seconds: (performance.now() - began) / 1000, peakMiB: Number.NaN };
  }
}
