/** Where a backup's tars are compressed. */
export type Compression =
  | { readonly where: 'server'; readonly level: number; readonly workers: number }
  | { readonly where: 'client'; readonly level: number };

/** What is asked of the server. */
export interface BaseBackupRequest {
  readonly label: string;
  /** The tar of the data directory carries the WAL from start to stop. */
  readonly withWal: boolean;
  readonly compression: Compression;
}

/** How a server of some version speaks of a base backup. */
export interface BaseBackupDialect {
  /** One COPY holds everything, and each of its messages says what it is; else one COPY per tar and one for the manifest. */
  readonly oneCopy: boolean;
  /** The two zero blocks at a tar's end are left to the client. */
  readonly openEndedTars: boolean;
  readonly hasManifest: boolean;
  /** A slot can hold WAL back for as long as a connection lives. */
  readonly temporarySlots: boolean;
  /** The server can compress with zstd, if it was built with it. */
  readonly serverZstd: boolean;
}

const newGrammar = 150_000;

/** What changes with the server's version (`server_version_num`). Source: protocol-replication.html of 9.5 to 18. */
export function baseBackupDialect(versionNumber: number): BaseBackupDialect {
  const isNew = versionNumber >= newGrammar;
  return {
    oneCopy: isNew,
    openEndedTars: !isNew,
    hasManifest: versionNumber >= 130_000,
    temporarySlots: versionNumber >= 100_000,
    serverZstd: isNew,
  };
}

/**
 * The replication command that starts a base backup, for a server of this version.
 *
 * The server is told not to wait for WAL to be archived: that wait is ours and bounded.
 */
export function baseBackupCommand(versionNumber: number, request: BaseBackupRequest): string {
  const label = quote(request.label);
  const { hasManifest } = baseBackupDialect(versionNumber);
  if (versionNumber < newGrammar) {
    const manifest = hasManifest ? ["MANIFEST 'yes'", "MANIFEST_CHECKSUMS 'CRC32C'"] : [];
    const wal = request.withWal ? ['WAL'] : [];
    return ['BASE_BACKUP', `LABEL ${label}`, 'PROGRESS', 'FAST', ...wal, 'NOWAIT', 'TABLESPACE_MAP', ...manifest].join(
      ' ',
    );
  }
  const { compression } = request;
  const zstd =
    compression.where === 'server'
      ? ["COMPRESSION 'zstd'", `COMPRESSION_DETAIL 'level=${compression.level},workers=${compression.workers}'`]
      : [];
  const options = [
    `LABEL ${label}`,
    'PROGRESS true',
    "CHECKPOINT 'fast'",
    `WAL ${request.withWal}`,
    'WAIT false',
    'TABLESPACE_MAP true',
    "MANIFEST 'yes'",
    "MANIFEST_CHECKSUMS 'CRC32C'",
    ...zstd,
    "TARGET 'client'",
  ];
  return `BASE_BACKUP (${options.join(', ')})`;
}

/** A label as a literal of the replication grammar, which doubles quotes and knows no backslash. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
