# Starting and stopping units. A service is watched by a process of its own, detached from whoever asked for it, as the
# watcher of a real machine is process 1. All that a service starts is in the control group of its name.

groups=/sys/fs/cgroup
say() { echo "$*" >&2; }

lock() { exec 8>"/run/site/lock.$1"; flock 8; }
unlock() { exec 8>&-; }

# start_unit <unit>: does what systemctl start does, and waits for it unless $no_block.
start_unit() (
  unit=$1
  case " ${starting:-} " in *" $unit "*) return 0 ;; esac
  starting="${starting:-} $unit"
  load "$unit"
  case $(value "$unit" 'Load|State') in
  masked) say "Failed to start $unit: Unit $unit is masked."; return 1 ;;
  not-found) say "Failed to start $unit: Unit $unit not found."; return 5 ;;
  esac
  for needed in $(values "$unit" 'Unit|Requires') $(values "$unit" 'Unit|BindsTo'); do
    if ! start_unit "$needed" || ! is_active "$needed"; then
      say "A dependency job for $unit failed. See 'journalctl -xe' for details."
      return 1
    fi
  done
  # Together, as nothing orders them; each was read before, so that no two read one at once.
  wishes=$(values "$unit" 'Unit|Wants')
  for wanted in $wishes; do load "$wanted"; done
  for wanted in $wishes; do (start_unit "$wanted" 2>/dev/null) & done
  wait

  settle "$unit" deactivating
  lock "$unit"
  active_state "$unit"
  case $REPLY in
  active | reloading) unlock; return 0 ;;
  activating) unlock; [ -n "${no_block:-}" ] || await_start "$unit"; return ;;
  deactivating) unlock; starting="" start_unit "$unit"; return ;;
  esac
  if ! meets "$unit" Condition; then
    become "$unit" ConditionResult no
    unlock
    return 0
  fi
  if ! meets "$unit" Assert; then
    become "$unit" ConditionResult yes ActiveState failed SubState failed Result assert
    unlock
    say "Assertion failed on job for $unit."
    return 1
  fi
  become "$unit" ConditionResult yes Result success Job done
  case $unit in
  *.service)
    become "$unit" ActiveState activating SubState start MainPID 0
    env -i PATH="$PATH" LANG=C.UTF-8 setsid sh /usr/lib/site/systemctl site-watch "$unit" \
      </dev/null >>"/var/log/site/$unit.log" 2>&1 8>&- &
    become "$unit" Watcher $!
    unlock
    [ -n "${no_block:-}" ] || await_start "$unit"
    ;;
  *)
    become "$unit" ActiveState active SubState active
    unlock
    ;;
  esac
)

# settle <unit> <state>: waits while it is in the state and somebody works on that.
settle() {
  while active_state "$1" && [ "$REPLY" = "$2" ]; do
    state "$1" Watcher 0
    if [ "$REPLY" != 0 ] && ! kill -0 "$REPLY" 2>/dev/null; then
      # Looked at again: the watcher says how it ended before it goes.
      active_state "$1"
      [ "$REPLY" != "$2" ] || become "$1" ActiveState failed SubState failed Result watcher-lost MainPID 0
    fi
    sleep 0.02
  done
}

await_start() {
  settle "$1" activating
  state "$1" Job done
  if [ "$REPLY" = canceled ]; then say "Job for $1 canceled."; return 1; fi
  state "$1" Result success
  [ "$REPLY" != success ] || return 0
  case $REPLY in
  exit-code | signal) say "Job for $1 failed because the control process exited with error code." ;;
  *) say "Job for $1 failed because of $REPLY." ;;
  esac
  say "See \"systemctl status $1\" and \"journalctl -xeu $1\" for details."
  return 1
}

# dependents <unit> <key>...: the active units that name it so.
dependents() {
  of=$1
  shift
  for directory in "$states"/*/; do
    other=${directory%/} other=${other##*/}
    [ "$other" != '*' ] && [ "$other" != "$of" ] || continue
    active_state "$other"
    case $REPLY in inactive | failed) continue ;; esac
    load "$other"
    for key in "$@"; do
      if says "$other" "Unit|$key" "$of"; then echo "$other"; break; fi
    done
  done
}

stop_unit() (
  unit=$1
  case " ${stopping:-} " in *" $unit "*) return 0 ;; esac
  stopping="${stopping:-} $unit"
  load "$unit"
  for other in $(dependents "$unit" PartOf Requires BindsTo); do (no_block="" stop_unit "$other") & done
  wait
  lock "$unit"
  active_state "$unit"
  case $REPLY in
  inactive | failed) unlock; return 0 ;;
  deactivating) unlock; settle "$unit" deactivating; return 0 ;;
  activating) become "$unit" Job canceled ;;
  esac
  case $unit in
  *.service) become "$unit" ActiveState deactivating SubState stop ;;
  *) become "$unit" ActiveState inactive SubState dead; unlock; return 0 ;;
  esac
  unlock
  # The end is the watcher's to tell; one that remained after its exit has none.
  if [ -n "${no_block:-}" ]; then
    env -i PATH="$PATH" setsid sh /usr/lib/site/systemctl site-end "$unit" </dev/null >>"/var/log/site/$unit.log" 2>&1 &
  else
    end_service "$unit" >>"/var/log/site/$unit.log" 2>&1
  fi
)

end_service() {
  unit=$1
  state "$unit" MainPID 0
  main=$REPLY
  values "$unit" 'Service|ExecStop' >"/run/site/end.$unit"
  while read -r line; do MAINPID=$main control "$unit" "$line" || :; done <"/run/site/end.$unit"
  rm -f "/run/site/end.$unit"
  signal=$(value "$unit" 'Service|KillSignal' TERM)
  mode=$(value "$unit" 'Service|KillMode' control-group)
  case $mode in
  control-group) signal_group "$unit" "${signal#SIG}" ;;
  mixed | process) [ "$main" = 0 ] || kill -s "${signal#SIG}" "$main" 2>/dev/null || : ;;
  *) fail_to_simulate "KillMode=$mode of $unit" ;;
  esac
  await_end "$unit" "$mode" "$main"
  state "$unit" SubState dead
  if [ "$REPLY" = stop ] && ! watched "$unit"; then
    finish "$unit" success
  fi
  # What was about to be started when the stop came is told now.
  while active_state "$unit" && [ "$REPLY" = deactivating ] && watched "$unit"; do
    sleep 0.02
    [ "$mode" != control-group ] || signal_group "$unit" "${signal#SIG}"
  done
  settle "$unit" deactivating
}

watched() { state "$1" Watcher 0; [ "$REPLY" != 0 ] && kill -0 "$REPLY" 2>/dev/null; }

# await_end <unit> <kill mode> <main process>: gives processes their time, then kills them.
await_end() {
  patience=$(seconds "$(value "$1" 'Service|TimeoutStopSec' 90)")
  left=$((patience * 50))
  while [ "$left" != 0 ]; do
    case $2 in
    process) [ "$3" != 0 ] && kill -0 "$3" 2>/dev/null || return 0 ;;
    *) [ -n "$(members "$1")" ] || return 0 ;;
    esac
    left=$((left - 1))
    sleep 0.02
  done
  become "$1" Result timeout
  if [ "$2" = process ]; then kill -s KILL "$3" 2>/dev/null || :; else echo 1 >"$groups/$1/cgroup.kill"; fi
}

# seconds <time span>: as systemd writes it; -1 for ever.
seconds() {
  case $1 in
  infinity) echo -1 ;;
  *[!0-9a-z\ ]*) fail_to_simulate "the time span $1" ;;
  *) echo "$1" | awk '{
      gsub(/[0-9]+/, " & "); many = split($0, part, " ")
      for (at = 1; at <= many; at += 2) {
        unit = part[at + 1]
        sum += part[at] * (unit ~ /^h/ ? 3600 : unit ~ /^(m|min|minutes?)$/ ? 60 : unit == "ms" ? 0.001 : unit ~ /^d/ ? 86400 : 1)
      }
      print int(sum + 0.999)
    }' ;;
  esac
}

members() { cat "$groups/$1/cgroup.procs" 2>/dev/null || :; }
signal_group() { for process in $(members "$1"); do kill -s "$2" "$process" 2>/dev/null || :; done; }

# finish <unit> <result>: nothing of it runs any more.
finish() {
  if [ -d "$groups/$1" ]; then
    mode=$(value "$1" 'Service|KillMode' control-group)
    if [ "$mode" != process ]; then
      [ -z "$(members "$1")" ] || { signal_group "$1" TERM; await_end "$1" "$mode" 0; }
      tries=100
      until rmdir "$groups/$1" 2>/dev/null || [ "$tries" = 0 ]; do tries=$((tries - 1)); sleep 0.02; done
    fi
  fi
  lock "$1"
  state "$1" Result success
  result=$2
  [ "$REPLY" = success ] || result=$REPLY
  if [ "$result" = success ]; then
    become "$1" Result success MainPID 0 SubState dead ActiveState inactive
  else
    become "$1" Result "$result" MainPID 0 SubState failed ActiveState failed
  fi
  unlock
}
