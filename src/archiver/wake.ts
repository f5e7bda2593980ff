import { watch, type FSWatcher } from 'node:fs';
import { isSameFile, stateOf, type FileState } from '../system/file-stamps.ts';

/** Something to wait for: a change in a folder, a moment, or the end. */
export interface Wake {
  /** Watches this folder from now on; a folder of the same name that took its place is another one. */
  look(folder: string): void;
  /** Waits for a change since the last wait, no longer than this; after the end not at all. */
  wait(milliseconds: number): Promise<void>;
  close(): void;
}

/** Makes one. Where a folder can't be watched (no inotify left), the time alone wakes. */
export function makeWake(signal: AbortSignal): Wake {
  let watched: { readonly folder: string; readonly state: FileState; readonly watcher: FSWatcher } | undefined;
  let changed = false;
  let resume: (() => void) | undefined;
  const rouse = () => {
    changed = true;
    resume?.();
  };
  const unwatch = () => {
    watched?.watcher.close();
    watched = undefined;
  };
  signal.addEventListener('abort', rouse);
  return {
    look: (folder) => {
      const state = stateOf(folder);
      // A folder that was moved away keeps its watch, and the one in its place has none.
      if (watched?.folder === folder && isSameFile(watched.state, state)) return;
      unwatch();
      if (state === undefined) return;
      try {
        const watcher = watch(folder, { persistent: false }, rouse);
        watcher.on('error', unwatch);
        watched = { folder, state, watcher };
      } catch {
        // The poll finds what is there.
      }
    },
    wait: async (milliseconds) => {
      if (!changed && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, milliseconds);
          resume = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        resume = undefined;
      }
      changed = false;
    },
    close: unwatch,
  };
}
