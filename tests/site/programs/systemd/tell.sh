# What systemctl tells of units.

tell_active() {
  found=3
  for one in $1; do
    active_state "$one"
    [ "$REPLY" != "$2" ] && { [ "$2 $REPLY" != 'active reloading' ]; } || found=0
    [ -n "$quiet" ] || echo "$REPLY"
  done
  [ "$2 $found" != 'failed 3' ] || found=1
  return "$found"
}

tell_enabled() {
  told=$(file_state "$1")
  if [ "$told" = not-found ]; then
    [ -n "$quiet" ] || say "Failed to get unit file state for $1: No such file or directory"
    return 1
  fi
  [ -n "$quiet" ] || echo "$told"
  case $told in enabled | static | generated) return 0 ;; esac
  return 1
}

tell_status() {
  load "$1"
  active_state "$1"
  active=$REPLY
  state "$1" SubState dead
  echo "● $1 - $(value "$1" 'Unit|Description' "$1")"
  echo "     Loaded: $(value "$1" 'Load|State') ($(value "$1" 'Load|Fragment'); $(file_state "$1"))"
  echo "     Active: $active ($REPLY)"
  state "$1" MainPID 0
  [ "$REPLY" = 0 ] || echo "   Main PID: $REPLY"
  [ ! -e "/var/log/site/$1.log" ] || { echo; tail -n 10 "/var/log/site/$1.log"; }
  if [ "$(value "$1" 'Load|State')" = not-found ]; then return 4; fi
  [ "$active" = active ] || return 3
}

# needs_reload <unit>: whether its files say something else than what was read.
needs_reload() {
  before=$(cat "$known/$1")
  (known=/run/site/look && mkdir -p "$known" && read_unit "$1")
  [ "$before" = "$(cat "/run/site/look/$1")" ] && echo no || echo yes
}

property_of() {
  case $2 in
  Id | Names) REPLY=$1 ;;
  Description) REPLY=$(value "$1" 'Unit|Description' "$1") ;;
  LoadState) REPLY=$(value "$1" 'Load|State') ;;
  FragmentPath) REPLY=$(value "$1" 'Load|Fragment') ;;
  DropInPaths) REPLY=$(values "$1" 'Load|DropIn' | tr '\n' ' ' | sed 's/ $//') ;;
  UnitFileState) REPLY=$(file_state "$1"); [ "$REPLY" != not-found ] || REPLY="" ;;
  NeedDaemonReload) REPLY=$(needs_reload "$1") ;;
  ActiveState) active_state "$1" ;;
  SubState) state "$1" SubState dead ;;
  Result) state "$1" Result success ;;
  MainPID | ExecMainStatus) state "$1" "$2" 0 ;;
  ConditionResult) state "$1" ConditionResult no ;;
  InvocationID) state "$1" InvocationID ;;
  Type | Restart | KillMode) REPLY=$(value "$1" "Service|$2") ;;
  PartOf | Wants | Requires | BindsTo) REPLY=$(values "$1" "Unit|$2" | tr '\n' ' ' | sed 's/ $//') ;;
  Unit) REPLY=$(value "$1" 'Timer|Unit' "${1%.timer}.service") ;;
  *) fail_to_simulate "systemctl show -p $2" ;;
  esac
}

tell_properties() {
  load "$1"
  for property in ${properties:-Id Description LoadState FragmentPath DropInPaths UnitFileState ActiveState SubState Result MainPID ExecMainStatus ConditionResult}; do
    property_of "$1" "$property"
    if [ -n "$bare" ]; then echo "$REPLY"; else echo "$property=$REPLY"; fi
  done
}

tell_files() {
  file=$(fragment_of "$1")
  if [ -z "$file" ]; then say "No files found for $1."; return 1; fi
  for file in $file $(drop_ins_of "$1"); do echo "# $file"; cat "$file"; echo; done
}

# is_asked <text> <pattern>...: whether a pattern fits, or there is none.
is_asked() {
  text=$1
  shift
  [ $# -gt 0 ] || return 0
  for pattern in "$@"; do
    # shellcheck disable=SC2254
    case $text in $pattern) return 0 ;; esac
  done
  return 1
}

tell_units() {
  set -f
  [ -z "$legend" ] || echo "UNIT LOAD ACTIVE SUB DESCRIPTION"
  for path in $(set +f; echo "$known"/*); do
    one=${path##*/}
    [ "$one" != '*' ] || continue
    is_asked "$one" "$@" || continue
    # shellcheck disable=SC2086
    is_asked "${one##*.}" $kinds || continue
    active_state "$one"
    active=$REPLY
    [ -n "$all$wanted_states" ] || [ "$active" != inactive ] || continue
    state "$one" SubState dead
    # shellcheck disable=SC2086
    is_asked "$active" $wanted_states || is_asked "$REPLY" $wanted_states || continue
    echo "$one $(value "$one" 'Load|State') $active $REPLY $(value "$one" 'Unit|Description' "$one")"
  done
  set +f
}

tell_unit_files() {
  set -f
  [ -z "$legend" ] || echo "UNIT FILE STATE PRESET"
  for directory in $directories; do
    for path in $(set +f; echo "$directory"/*.*); do
      one=${path##*/}
      case $one in '*.*' | *.d | *.wants | *.requires) continue ;; esac
      # What Debian ships is shown where it is asked for by name.
      [ "$directory" != /usr/lib/systemd/system ] || [ $# -gt 0 ] || continue
      is_asked "$one" "$@" || continue
      # shellcheck disable=SC2086
      is_asked "${one##*.}" $kinds || continue
      told=$(file_state "$one")
      # shellcheck disable=SC2086
      is_asked "$told" $wanted_states || continue
      echo "$one $told enabled"
    done
  done | sort -u
  set +f
}

tell_dependencies() {
  load "$1"
  echo "$1"
  for needed in $(values "$1" 'Unit|Requires') $(values "$1" 'Unit|Wants'); do
    dot="● "
    if [ -n "$plain" ]; then dot=""; elif ! is_active "$needed"; then dot="○ "; fi
    echo "$dot  ├─$needed" | if [ -n "$plain" ]; then sed 's/├─//'; else cat; fi
  done
}
