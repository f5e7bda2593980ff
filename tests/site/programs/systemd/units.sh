# What is known of units: which files they come from, what those say, and the states they are in.
#
# A unit is read once, when somebody first names it, and then only by daemon-reload, as systemd keeps the units that
# something refers to. (systemd forgets inactive ones sooner; whoever relies on that is told off here.)

directories="/etc/systemd/system /run/systemd/system /run/systemd/generator /usr/local/lib/systemd/system
/usr/lib/systemd/system"
known=/run/site/units
read -r host </etc/hostname
states=/run/site/state
# Targets of the system itself. They are there and active, and only what was enabled into them counts.
system_targets="sysinit.target local-fs.target remote-fs.target basic.target sockets.target network.target \
network-online.target paths.target timers.target multi-user.target graphical.target default.target shutdown.target"

is_system_target() {
  case " $system_targets " in *" $1 "*) return 0 ;; esac
  return 1
}

fail_to_simulate() {
  echo "this systemctl can not do that: $*" >&2
  echo "$*" >>/var/log/site/not-simulated
  exit 64
}

# fragment_of <unit>: the file that the unit comes from, or nothing.
fragment_of() {
  case $1 in
  *@*.*) template="${1%%@*}@.${1##*.}" ;;
  *) template=$1 ;;
  esac
  for name in "$1" "$template"; do
    for directory in $directories; do
      if [ -e "$directory/$name" ] || [ -L "$directory/$name" ]; then
        echo "$directory/$name"
        return
      fi
    done
    [ "$name" != "$template" ] || return 0
  done
}

# drop_ins_of <unit>: its drop-in files by their names; of two with one name the first directory's.
drop_ins_of() {
  case $1 in *@*.*) names="$1 ${1%%@*}@.${1##*.}" ;; *) names=$1 ;; esac
  found="" many=""
  for directory in $directories; do
    for name in $names; do
      [ -d "$directory/$name.d" ] || continue
      for file in "$directory/$name.d"/*.conf; do
        [ -e "$file" ] || continue
        [ -z "$found" ] || many=yes
        found="$found${file##*/} $file
"
      done
    done
  done
  # Most units have none or one, and this runs for every unit at every reload.
  if [ -n "$many" ]; then printf '%s' "$found" | sort -s -u -k 1,1 | cut -d ' ' -f 2-
  elif [ -n "$found" ]; then echo "${found#* }"
  fi
}

# is_masked <file>
is_masked() { [ -L "$1" ] && [ "$(readlink -f "$1")" = /dev/null ]; }

# load <unit>: reads it unless that was done already.
load() {
  [ -e "$known/$1" ] || read_unit "$1"
}

read_unit() {
  fragment=$(fragment_of "$1")
  written=/run/site/written.$$.$1
  if is_system_target "$1"; then
    echo "Load|State|loaded" >"$written"
  elif [ -z "$fragment" ]; then
    echo "Load|State|not-found" >"$written"
  elif is_masked "$fragment" || [ ! -s "$fragment" ]; then
    printf 'Load|State|masked\nLoad|Fragment|%s\n' "$fragment" >"$written"
  else
    parse_unit "$1" "$fragment" >"$written" || { rm -f "$written"; fail_to_simulate "a unit like $1"; }
  fi
  for kind in Wants:wants Requires:requires; do
    for directory in $directories; do
      [ -d "$directory/$1.${kind#*:}" ] || continue
      # What Debian enables into the system's own targets starts no machine of ours.
      [ "$directory" != /usr/lib/systemd/system ] || ! is_system_target "$1" || continue
      for link in "$directory/$1.${kind#*:}"/*; do
        [ -L "$link" ] && echo "Unit|${kind%:*}|${link##*/}" >>"$written"
      done
    done
  done
  mv "$written" "$known/$1"
}

parse_unit() {
  instance=""
  case $1 in *@*.*) instance=${1#*@} instance=${instance%.*} ;; esac
  prefix=${1%%@*}
  ins=$(drop_ins_of "$1")
  printf 'Load|State|loaded\nLoad|Fragment|%s\n' "$2"
  for file in $ins; do echo "Load|DropIn|$file"; done
  UNIT=$1 PREFIX=${prefix%.*} INSTANCE=$instance HOST=$host \
    awk -f /usr/lib/site/systemd/flatten.awk "$2" $ins </dev/null
}

# values <unit> <Section|Key>: every value, one a line.
values() {
  while IFS= read -r said; do
    case $said in "$2|"*) echo "${said#"$2|"}" ;; esac
  done <"$known/$1"
}
# value <unit> <Section|Key> [<otherwise>]: the last one.
value() {
  last=${3:-}
  while IFS= read -r said; do
    case $said in "$2|"*) last=${said#"$2|"} ;; esac
  done <"$known/$1"
  echo "$last"
}
# says <unit> <Section|Key> <word>: whether a list has the word.
says() { case " $(echo $(values "$1" "$2")) " in *" $3 "*) return 0 ;; esac; return 1; }

# state <unit> <property> [<otherwise>]: what it is just now, in $REPLY.
state() {
  REPLY=${3:-}
  [ -e "$states/$1/$2" ] || return 0
  # A moment of a write's is empty; a value never is.
  until read -r REPLY <"$states/$1/$2"; do :; done
}
# become <unit> <property> <value>...
become() {
  becoming=$states/$1
  [ -d "$becoming" ] || mkdir -p "$becoming"
  shift
  while [ $# -gt 0 ]; do
    echo "$2" >"$becoming/$1"
    shift 2
  done
}
active_state() { state "$1" ActiveState inactive; }
is_active() { active_state "$1"; [ "$REPLY" = active ] || [ "$REPLY" = reloading ]; }

# file_state <unit>: what is-enabled says.
file_state() {
  fragment=$(fragment_of "$1")
  if is_system_target "$1"; then echo static; return; fi
  if [ -z "$fragment" ]; then echo not-found; return; fi
  if is_masked "$fragment"; then echo masked; return; fi
  for link in /etc/systemd/system/*.wants/"$1" /etc/systemd/system/*.requires/"$1"; do
    if [ -L "$link" ]; then echo enabled; return; fi
  done
  case $fragment in /run/systemd/generator/*) echo generated; return ;; esac
  if ! grep -q '^\[Install\]' "$fragment"; then echo static; return; fi
  if [ -L "$fragment" ]; then echo linked; return; fi
  echo disabled
}

# meets <unit> <Condition|Assert>: whether all its conditions of the kind hold; what is seen is the disk as it is now.
meets() {
  met=0 triggers="" triggered=""
  while IFS= read -r said; do
    case $said in "Unit|$2"*) said=${said#"Unit|$2"} ;; *) continue ;; esac
    test=${said%%|*} argument=${said#*|}
    trigger="" not=""
    case $argument in '|'*) trigger=yes argument=${argument#|} triggers=yes ;; esac
    case $argument in '!'*) not=yes argument=${argument#!} ;; esac
    holds=yes
    case $test in
    PathExists) [ -e "$argument" ] || holds="" ;;
    PathIsDirectory) [ -d "$argument" ] || holds="" ;;
    PathIsSymbolicLink) [ -L "$argument" ] || holds="" ;;
    FileNotEmpty) [ -s "$argument" ] || holds="" ;;
    *) fail_to_simulate "$2$test= of $1" ;;
    esac
    if [ -n "$not" ]; then if [ -n "$holds" ]; then holds=""; else holds=yes; fi; fi
    if [ -n "$trigger" ]; then [ -z "$holds" ] || triggered=yes
    elif [ -z "$holds" ]; then met=1; fi
  done <"$known/$1"
  [ -z "$triggers" ] || [ -n "$triggered" ] || met=1
  return "$met"
}

run_generators() {
  rm -rf /run/systemd/generator
  mkdir -p /run/systemd/generator
  generator=/usr/lib/systemd/system-generators/postgresql-generator
  [ ! -x "$generator" ] || "$generator" /run/systemd/generator /run/systemd/generator /run/systemd/generator
}

reload_units() {
  run_generators
  for file in "$known"/*; do
    [ -e "$file" ] || continue
    read_unit "${file##*/}"
  done
}
