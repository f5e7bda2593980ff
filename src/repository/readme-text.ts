/**
 * What lies as README.txt in every repository: how to restore with public tools alone. A test follows it to the letter: the
 * lines that begin with four spaces are its commands, and the assignments among them are what the reader fills in.
 */
export const readmeText = `This directory, or this folder of a store, is a repository of landscape-backup.

It can be restored without landscape-backup, with zstd, tar and PostgreSQL of the same major version. Where repository.json says
"encryption": "age", what could be secret is encrypted in the age format (age-encryption.org), and you need the program age
and an identity as well: a file with a line AGE-SECRET-KEY-1..., kept by whoever set this up. Nothing in here replaces it.
Nothing in here is ever changed in place; copy files out, do not edit them.

WHAT IS HERE

  repository.json                      which repository this is
  clusters/<system identifier>/<n>/    one unbroken line of one PostgreSQL cluster ("incarnation")
    owner.json                         who wrote it; "parent" says which incarnation it continues
    base/<backup id>/backup.json       a complete base backup; a folder without this file is not one
    base/<backup id>/base.tar.zst.*    the data directory, cut into parts
    base/<backup id>/<oid>.tar.zst.*   one tablespace each, cut into parts
    base/<backup id>/backup_manifest   PostgreSQL's own list of files and checksums (13 and later)
    wal/<timeline>/<log>/*.zst         archived WAL segments; <segment>.<length>.part.zst is the beginning of one, the
                                       rest of which was zero when it was stored
    wal/<timeline>/history/*.zst       timeline histories
  files/<model>/<application>/<unit>/<id>/files.tar.zst   configuration files

Where it is encrypted, all of these but *.json and histories have ".age" in or at the end of their names: base.tar.zst.age.*,
backup_manifest.age, *.zst.age. What was encrypted anew, to others, has a number before that: *.zst.2.age, backup_manifest.2.age;
of an archive only the first part is, base.tar.zst.2.age.00001 in front of base.tar.zst.age.00002. Where one name is there more than once, the highest number counts
(none is the lowest): remove the others from your copy first. To look into one: age -d -i <identity file> <file> | zstd -dc. The parts of an archive are one
age file only when they are put together. Length and SHA-256 of what is inside a *.zst.age stand in its header, readable.

RESTORE BY HAND

Where this lies on an SFTP server or in an S3 store, copy it to a disk first, this file's folder with all that is below it or
at least the one incarnation's folder: "sftp -r user@host:/folder /a/disk", or "aws s3 sync s3://bucket/folder /a/disk" (with
--endpoint-url for a store that is not AWS), or "rclone copy". Then restore from the copy.

Work in one shell, as the user who will run PostgreSQL (usually postgres). What you need first is a cluster of the same
major version ("major" in backup.json) that is stopped and whose data directory is empty, mode 0700. On Debian and Ubuntu:
pg_createcluster <major> <name>, then remove everything in its data directory; its configuration stays in /etc/postgresql.
Elsewhere: initdb, and put its postgresql.conf and pg_hba.conf back after step 2. The configuration of the lost cluster is
in the file set that backup.json names.

1. Say what you restore, and where to:

    REPO=/path/to/this/directory
    LINE=$REPO/clusters/<system identifier>/<n>
    BACKUP=$LINE/base/<backup id>
    DATA=/path/to/the/empty/data/directory
    WAL=/path/to/an/empty/directory/with/room/for/all/WAL
    OPEN=cat

   Only if it is encrypted, OPEN='age -d -i /path/to/the/identity/file' instead of the last line.

2. Unpack the data directory:

    cat $BACKUP/base.tar.zst.* | $OPEN | zstd -dcq | tar -x -C $DATA

3. Only if there are other archives, <oid>.tar.zst.*: for each of them, with a new and empty place of its own:

    OID=<oid>
    PLACE=/path/to/the/tablespace
    mkdir -m 0700 $PLACE
    cat $BACKUP/$OID.tar.zst.* | $OPEN | zstd -dcq | tar -x -C $PLACE
    sed -i "s|^$OID .*|$OID $PLACE|" $DATA/tablespace_map

4. Remove settings that would archive into this repository again or point elsewhere:

    sed -i -E '/^(archive_|restore_command|recovery_|primary_)/d' $DATA/postgresql.auto.conf

5. Only if backup.json says "withWal": false: bring the archived WAL within reach. It must print "complete":

    PLAIN='for F; do zstd -dcq "$F" > "$0/$(basename "$F" .zst)"; done'
    AGE='for F; do N=$(basename "$F"); '$OPEN' "$F" | zstd -dcq > "$0/\${N%.zst*}"; done'
    find $LINE/wal -name '*.zst' -exec sh -ec "$PLAIN" $WAL {} + &&
    find $LINE/wal -name '*.age' -exec sh -ec "$AGE" $WAL {} + && echo complete

   The end of a line may be the beginning of a segment. This makes a segment of the longest one, where no whole one is there:

    ls -r $WAL | grep '[.]part$' | while read F; do S=$WAL/\${F%%.*}; test -e $S || { cp $WAL/$F $S; truncate -s $(od -An -tu4 -j32 -N4 $S) $S; }; done

   If owner.json names a "parent", do this for the parent's wal directory first, and so on; what is there twice is the same.

6. Tell PostgreSQL to recover. From version 12 on, to the end of the archived WAL:

    touch $DATA/recovery.signal
    printf "archive_mode = off\\nhot_standby = off\\nrestore_command = 'cp $WAL/%%f %%p'\\n" >> $DATA/postgresql.auto.conf
    printf "recovery_target_timeline = 'latest'\\nrecovery_target_action = 'promote'\\n" >> $DATA/postgresql.auto.conf

   Before version 12 write restore_command and the lines that begin with recovery_ into $DATA/recovery.conf instead, and
   create no recovery.signal.

7. Only to stop at a time; it must be after the backup's "stoppedAt", and with an offset from UTC:

    TIME='2026-11-24 03:00:00+00'
    printf "recovery_target_time = '$TIME'\\n" >> $DATA/postgresql.auto.conf

8. Only if backup.json says "withWal": true: the WAL lies in the backup itself, and its own end is all there is:

    printf "restore_command = 'false'\\nrecovery_target = 'immediate'\\n" >> $DATA/postgresql.auto.conf

9. Start PostgreSQL (pg_ctlcluster <major> <name> start) and watch its log until it says "archive recovery complete". If it
   says that a recovery target was not reached, the WAL ends before it: look at the log for the last file it asked for.
   Look at your data. Before you turn archiving on again, remove from $DATA/postgresql.auto.conf what steps 6 to 8 wrote.
`;

/** Beside the records of an incarnation whose objects were encrypted anew: README.txt may be older than that. */
export const sweepsReadme = `Objects of this folder were encrypted anew, to other recipients. The number before ".age" in a name says how often; where
a name is there more than once, the highest number counts (none is the lowest). To restore by hand, do as README.txt at the
top says, with these two lines in place of those in step 5 that begin with AGE= and speak of '*.zst.age':

    AGE='for F; do N=$(basename "$F"); '$OPEN' "$F" | zstd -dcq > "$0/\${N%.zst*}"; done'
    find $LINE/wal -name '*.age' -exec sh -ec "$AGE" $WAL {} + && echo complete
`;
