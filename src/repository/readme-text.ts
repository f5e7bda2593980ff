/** What lies as README.txt in every repository: how to restore with public tools alone. A test does what it says. */
export const readmeText = `This directory is a repository of landscape-backup.

It can be restored without landscape-backup, with zstd, tar and PostgreSQL of the same major version.
Nothing in here is ever changed in place; copy files out, do not edit them.

WHAT IS HERE

  repository.json                      which repository this is
  clusters/<system identifier>/<n>/    one unbroken line of one PostgreSQL cluster ("incarnation")
    owner.json                         who wrote it; "parent" says which incarnation it continues
    base/<backup id>/backup.json       a complete base backup; a folder without this file is not one
    base/<backup id>/base.tar.zst.*    the data directory, cut into parts
    base/<backup id>/<oid>.tar.zst.*   one tablespace each, cut into parts
    base/<backup id>/backup_manifest   PostgreSQL's own list of files and checksums (13 and later)
    wal/<timeline>/<log>/*.zst         archived WAL segments
    wal/<timeline>/history/*.zst       timeline histories
  files/<model>/<application>/<unit>/<id>/files.tar.zst   configuration files

RESTORE BY HAND

Work as the user who will run PostgreSQL (usually postgres). Set these first:

  REPO=/path/to/this/directory
  LINE=$REPO/clusters/<system identifier>/<n>
  BACKUP=$LINE/base/<backup id>
  DATA=/path/to/an/empty/data/directory          (mode 0700)

1. Unpack the data directory:

  cat $BACKUP/base.tar.zst.* | zstd -dc | tar -x -C $DATA

2. For each other <oid>.tar.zst.* make the directory where the tablespace shall live and unpack it there:

  cat $BACKUP/<oid>.tar.zst.* | zstd -dc | tar -x -C /path/to/tablespace

   then write that path into the line of this <oid> in $DATA/tablespace_map.

3. Remove settings that would archive into this repository again or point elsewhere:

  sed -i -E '/^(archive_|restore_command|recovery_|primary_)/d' $DATA/postgresql.auto.conf

4. Bring the archived WAL within reach (skip this when backup.json says "withWal": true):

  mkdir $DATA/../wal
  find $LINE/wal -name '*.zst' -exec sh -c 'zstd -dcq "$1" > "$2/$(basename "$1" .zst)"' - {} $DATA/../wal \\;

   If owner.json names a "parent", do the same for the parent's wal directory, into the same place, without overwriting.

5. Tell PostgreSQL to recover. From version 12 on:

  touch $DATA/recovery.signal
  printf "archive_mode = off\\nrestore_command = 'cp %s/../wal/%%f %%p'\\n" $DATA >> $DATA/postgresql.auto.conf
  printf "recovery_target_timeline = 'latest'\\n" >> $DATA/postgresql.auto.conf

   To stop at a time, add these two lines too (always with a UTC offset):

  recovery_target_time = '2026-11-24 03:00:00+00'
  recovery_target_action = 'promote'

   Before version 12 write restore_command and the targets into $DATA/recovery.conf instead.
   With "withWal": true in backup.json use restore_command = 'false' and recovery_target = 'immediate'.

6. Start PostgreSQL, watch its log until it says that it is ready to accept connections, and look at your data.
`;
