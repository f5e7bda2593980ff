import { environment } from './environment.ts';
import { run } from './process.ts';

/** Who started this program and watches it; without systemd all of this does nothing. */
export interface ServiceManager {
  /** Tells that the program works now. */
  ready(): Promise<void>;
  /** Tells in one line what it does. */
  status(text: string): void;
  /** Tells that it is not stuck; called as often as it likes, told at most as often as asked for. */
  alive(): void;
}

/**
 * The service manager that the environment names. Node has no datagrams for Unix sockets, so systemd's own program carries
 * the messages: the unit needs `NotifyAccess=all`.
 */
export function serviceManager(): ServiceManager {
  const { notifySocket, watchdogUsec } = environment;
  const isWatched = notifySocket() !== undefined;
  // Half of what is allowed, as sd_watchdog_enabled(3) advises.
  const everyMs = Number(watchdogUsec() ?? 'NaN') / 2000;
  let toldAt = -Infinity;
  const tell = async (...messages: readonly string[]): Promise<void> => {
    if (!isWatched) return;
    // Who can't be told, or not in time, does what it does to a program that says nothing.
    await run('systemd-notify', [...messages], { timeoutMs: 10_000 }).catch(() => undefined);
  };
  return {
    ready: async () => {
      await tell('--ready');
    },
    status: (text) => {
      void tell(`--status=${text}`);
    },
    alive: () => {
      if (!(performance.now() - toldAt > everyMs)) return;
      toldAt = performance.now();
      void tell('WATCHDOG=1');
    },
  };
}
