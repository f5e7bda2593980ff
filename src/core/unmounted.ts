/**
 * The place in `/etc/fstab` at or above a path where something should be mounted and is not; `undefined` when none.
 *
 * Writing there would fill the disk below, and hide what was written as soon as the mount comes back.
 */
export function unmountedAbove(path: string, fstab: string, mountinfo: string): string | undefined {
  const mounted = new Set(mountinfo.split('\n').map((line) => unescape(line.split(' ')[4] ?? '')));
  return fstab
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => unescape(line.split(/\s+/)[1] ?? '').replace(/(?<=.)\/+$/, ''))
    .find((place) => place.startsWith('/') && place !== '/' && isAtOrAbove(place, path) && !mounted.has(place));
}

function isAtOrAbove(place: string, path: string): boolean {
  return path === place || path.startsWith(`${place}/`);
}

/** Both files write blanks, tabs and backslashes as octal codes. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
}
