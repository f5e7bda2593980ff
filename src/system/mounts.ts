import { Failure } from '../core/failure.ts';
import { unmountedAbove } from '../core/unmounted.ts';
import { readText } from './files.ts';

/** Fails with `refused` where `/etc/fstab` says that something should be mounted at or above a path and nothing is. */
export async function refuseUnmounted(path: string, fstabFile = '/etc/fstab'): Promise<void> {
  const fstab = (await readText(fstabFile)) ?? '';
  const mountinfo = (await readText('/proc/self/mountinfo')) ?? '';
  const place = unmountedAbove(path, fstab, mountinfo);
  if (place === undefined) return;
  throw new Failure(
    'refused',
    `nothing is mounted at ${place}, where ${fstabFile} wants the file system that holds ${path}; nothing was created`,
    {
      hint: `Mount it: mount ${place}`,
    },
  );
}
