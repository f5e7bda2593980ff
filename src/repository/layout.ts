import { parseWalName, partName, timelineName, type SegmentName, type WalName } from '../core/wal-name.ts';

/** The place of one incarnation of a cluster. */
export interface Place {
  readonly systemIdentifier: string;
  readonly incarnation: number;
}

/** Every key in the repository is built here; `src/README.md` shows the tree. */
export const layout = {
  repository: 'repository.json',
  readme: 'README.txt',
  clusters: 'clusters/',
  cluster: (systemIdentifier: string) => `clusters/${systemIdentifier}/`,
  incarnation: ({ systemIdentifier, incarnation }: Place) => `clusters/${systemIdentifier}/${incarnation}/`,
  owner: (place: Place) => `${layout.incarnation(place)}owner.json`,
  wal: (place: Place) => `${layout.incarnation(place)}wal/`,
  walFile: (place: Place, name: WalName) => `${layout.walFolder(place, name)}${name.name}.zst`,
  /** The beginning of a segment that is not finished yet. */
  walPart: (place: Place, name: SegmentName, length: number) =>
    `${layout.walFolder(place, name)}${partName(name, length)}.zst`,
  walFolder: (place: Place, name: WalName) =>
    `${layout.wal(place)}${timelineName(name.timeline)}/${name.kind === 'history' ? 'history' : timelineName(name.log)}/`,
  base: (place: Place) => `${layout.incarnation(place)}base/`,
  backup: (place: Place, id: string) => `${layout.base(place)}${id}/`,
  backupRecord: (place: Place, id: string) => `${layout.backup(place, id)}backup.json`,
  leases: (place: Place) => `${layout.incarnation(place)}leases/`,
  marks: (place: Place) => `${layout.incarnation(place)}marks/`,
  witnesses: (place: Place) => `${layout.incarnation(place)}witness/`,
  restorePoints: (place: Place) => `${layout.incarnation(place)}points/`,
  holes: (place: Place) => `${layout.incarnation(place)}holes/`,
  /** Says before each time that objects of an earlier generation are removed that it is about to begin. */
  sweeps: (place: Place) => `${layout.incarnation(place)}rewrap/`,
  /** What of a backup has been encrypted anew, below the backup's folder. */
  rewraps: (backupFolder: string) => `${backupFolder}rewrap/`,
  /** Where `check` tries what the destination does; nothing here means anything. */
  probes: (place: Place) => `${layout.incarnation(place)}probes/`,
  guests: (place: Place) => `${layout.incarnation(place)}guests/`,
  guest: (place: Place, model: string, unit: string) => `${layout.guests(place)}${safe(model)}/${safe(unit)}/`,
  files: 'files/',
  fileSets: (model: string, application: string, unit: string) =>
    `files/${safe(model)}/${safe(application)}/${safe(unit)}/`,
} as const;

/** The name of the WAL file that a key stores, encrypted or not, in any generation; `undefined` for a key that is none. */
export function walNameOfKey(key: string): string | undefined {
  return /\/([^/]+)\.zst(?:(?:\.[1-9]\d*)?\.age)?$/.exec(key)?.[1];
}

/** An encrypted object as its name tells of it: how it was called when it was first stored, and how often it was encrypted. */
export interface Generation {
  readonly first: string;
  readonly number: number;
}

/**
 * Reads the name or key of an encrypted object: `<name>.age` is the first generation, `<name>.<n>.age` the nth, and the parts
 * of an archive have their number behind that. `undefined` for any other name.
 */
export function readGeneration(name: string): Generation | undefined {
  const [, stem, number, part = ''] = /^(.+?)(?:\.([1-9]\d{0,8}))?\.age(\.\d{5})?$/.exec(name) ?? [];
  return stem === undefined ? undefined : { first: `${stem}.age${part}`, number: Number(number ?? 1) };
}

/** The name of a generation of the object that was first called so. */
export function generationName({ first, number }: Generation): string {
  return number === 1 ? first : first.replace(/\.age(\.\d{5})?$/, (end) => `.${number}${end}`);
}

/** The key of a WAL file by its name, as far as it is the same in every repository. */
export function walKey(place: Place, name: string): string {
  return layout.walFile(place, parseWalName(name));
}

/** The folders in which several users make names: those above incarnations, and where guests leave their leases. */
export function isSharedFolder(folder: string): boolean {
  return /^(clusters|clusters\/\d+|clusters\/\d+\/\d+\/guests(\/.*)?|files(\/.*)?)$/.test(folder);
}

/** A name from outside as a part of a key: what could be anything but a plain letter is written as its code. */
export function safe(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9-]/g, (character) => `_${character.codePointAt(0)?.toString(16) ?? ''}_`);
}
