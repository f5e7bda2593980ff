#!/bin/sh
# Makes a fresh clone ready, then runs a program of the project on the project's own Node:
#   ready.sh <program.ts> [arguments]
# Node modules come from the lock file; Debian packages through apt-get where this is root or sudo asks nothing.
set -eu
cd "$(dirname "$0")/../.."

# libatomic1 and libstdc++6 are what the project's Node links to beside the C library.
packages="libatomic1 libstdc++6 postgresql libjson-perl zstd tar procps util-linux mount systemd openssh-server age"
case " $* " in
  *"--destination s3 "* | *"--destination=s3 "*) packages="$packages ceph-mon ceph-mgr ceph-osd radosgw ceph-common openssl" ;;
esac
for extra in ${LANDSCAPE_BACKUP_PACKAGES:-}; do packages="$packages $extra"; done

missing=""
for package in $packages; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  # A library that is there for two architectures says "installed" twice.
  case $state in installed*) ;; *) missing="$missing $package" ;; esac
done

if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ]; then as_root=""
  elif sudo -n true 2>/dev/null; then as_root="sudo -n"
  else
    echo "These Debian packages are missing; install them as root, then try again:" >&2
    echo "  apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  echo "installing Debian packages:$missing"
  # A machine that gets PostgreSQL only for this shall not get a running cluster with it, also where postgresql-common
  # is there already. The drop-in is gone again when this script ends, however it ends.
  quiet=/etc/postgresql-common/createcluster.d/landscape-backup-tests.conf
  # Nor a running SSH server: what tests need of one they start themselves. Who has one already keeps it as it is.
  policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] && policy=""
  case " $missing " in *" openssh-server "*) new_ssh=yes ;; *) new_ssh=""; policy="" ;; esac
  unquiet() {
    [ -z "$policy" ] || $as_root rm -f "$policy"
    [ -z "$new_ssh" ] || $as_root systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true
    $as_root rm -f "$quiet"; $as_root rmdir --ignore-fail-on-non-empty "${quiet%/*}" 2>/dev/null || true
  }
  trap unquiet EXIT
  trap 'exit 130' INT TERM
  $as_root mkdir -p "${quiet%/*}"
  echo "create_main_cluster = false" | $as_root tee "$quiet" >/dev/null
  if [ -n "$policy" ]; then
    printf '#!/bin/sh\ncase "$1" in ssh*) exit 101 ;; esac\nexit 0\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
  fi
  log=$(mktemp)
  if ! { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing ||
         { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; }; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "apt-get could not install:$missing" >&2
    exit 1
  fi
  unquiet
  trap - EXIT INT TERM
  rm -f "$log"
fi

case $(uname -m) in
  x86_64) architecture=x64 ;;
  aarch64) architecture=arm64 ;;
  *) echo "the project's own Node is there for x86_64 and aarch64, this machine is $(uname -m)" >&2; exit 1 ;;
esac

stamp=node_modules/.landscape-backup-lock
if ! cmp -s package-lock.json "$stamp"; then
  echo "installing node modules"
  log=$(mktemp)
  if ! npm ci --no-audit --no-fund --ignore-scripts >"$log" 2>&1; then
    tail -20 "$log" >&2
    exit 1
  fi
  rm -f "$log"
  # npm 9 and 10 drop the other architecture's package and, with it, the link that both of them own.
  ln -sf "../node-linux-$architecture/bin/node" node_modules/.bin/node
  cp package-lock.json "$stamp"
fi

PATH="$PWD/node_modules/.bin:$PATH"
export PATH
exec node "$@"
