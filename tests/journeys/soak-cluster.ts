import { execa } from 'execa';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asOwner } from '../setup/machine.ts';
import type { ArchivedCluster } from '../setup/archived-cluster.ts';
import { until } from '../setup/wait.ts';

/** What the soak compares: every row that was committed. */
const rows = `
  select count(*) || ' ' || sum(abalance) from pgbench_accounts;
  select count(*) || ' ' || sum(tbalance) from pgbench_tellers;
  select count(*) || ' ' || sum(bbalance) from pgbench_branches;
  select count(*) || ' ' || sum(delta) from pgbench_history`;

/** How long a slow machine may take for what is a matter of seconds. */
export const patienceSeconds = 900;

/** A cluster under load. */
export class SoakCluster {
  readonly archived: ArchivedCluster;
  #isLoaded = false;
  #load: Promise<void> = Promise.resolve();

  constructor(archived: ArchivedCluster) {
    this.archived = archived;
  }

  async #pgbench(...args: readonly string[]): Promise<boolean> {
    const { binaries, socketDirectory, port } = this.archived.cluster;
    const at = ['-h', socketDirectory, '-p', String(port), 'postgres'];
    const options = { reject: false, stdio: 'ignore' } as const;
    return (await execa(join(binaries, 'pgbench'), [...args, ...at], options)).exitCode === 0;
  }

  async fill(): Promise<void> {
    if (!(await this.#pgbench('-i', '-q', '-s', '1'))) throw new Error('pgbench did not fill the database');
  }

  /** Writes as fast as it can, whatever happens to the server. */
  startLoad(): void {
    this.#isLoaded = true;
    this.#load = (async () => {
      while (this.#isLoaded) if (!(await this.#pgbench('-n', '-c', '2', '-T', '2'))) await sleep(100);
    })();
  }

  async stopLoad(): Promise<void> {
    this.#isLoaded = false;
    await this.#load;
  }

  async rows(): Promise<string> {
    return await this.archived.server.sql(rows);
  }

  async restart(mode: 'fast' | 'immediate' | 'kill'): Promise<void> {
    const { server } = this.archived;
    if (mode === 'kill') await server.kill();
    else await server.stop(mode);
    await this.#start();
  }

  /** Comes up as a standby of nobody and is promoted: the same rows on a timeline of their own. */
  async switchTimeline(mode: 'fast' | 'immediate'): Promise<void> {
    const { server, cluster } = this.archived;
    const before = await this.timeline();
    await server.stop(mode);
    await writeFile(join(cluster.dataDirectory, 'standby.signal'), '');
    await this.#start();
    await asOwner('pg_ctlcluster', [cluster.major, cluster.name, 'promote'], { reject: false });
    await until(
      'it is promoted',
      async () => (await this.#answer('select pg_is_in_recovery()')) === 'f',
      patienceSeconds,
    );
    await until('it is on a timeline of its own', async () => (await this.timeline()) > before, patienceSeconds);
  }

  async #start(): Promise<void> {
    const { server } = this.archived;
    // A slow machine may be waited for by `pg_ctlcluster` no longer, and still come.
    await server.start().catch(() => undefined);
    await until('the server answers', async () => (await this.#answer('select 1')) === '1', patienceSeconds);
  }

  async #answer(question: string): Promise<string | undefined> {
    return await this.archived.server.sql(question).catch(() => undefined);
  }

  async timeline(): Promise<number> {
    const { server } = this.archived;
    return Number.parseInt((await server.sql('select pg_walfile_name(pg_current_wal_lsn())')).slice(0, 8), 16);
  }

  /** Waits until nothing that was written by now waits to be archived. */
  async untilArchived(): Promise<void> {
    const { server, cluster } = this.archived;
    await server.sql('select pg_switch_wal()');
    const status = join(cluster.dataDirectory, 'pg_wal', 'archive_status');
    const waiting = async () => (await readdir(status)).filter((name) => name.endsWith('.ready')).length;
    await until('all that waited is archived', async () => (await waiting()) === 0, patienceSeconds);
  }
}
