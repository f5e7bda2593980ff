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
  /** Where `check` tries what the destination does; nothing here means anything. */
  probes: (place: Place) => `${layout.incarnation(place)}probes/`,
  guests: (place: Place) => `${layout.incarnation(place)}guests/`,
  guest: (place: Place, model: string, unit: string) => `${layout.guests(place)}${safe(model)}/${safe(unit)}/`,
  files: 'files/',
  fileSets: (model: string, application: string, unit: string) =>
    `files/${safe(model)}/${safe(application)}/${safe(unit)}/`,
} as const;

/** The name of the WAL file that a key stores, encrypted or not; `undefined` for a key that is none. */
export function walNameOfKey(key: string): string | undefined {
  return /\/([^/]+)\.zst(?:\.age)?$/.exec(key)?.[1];
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
