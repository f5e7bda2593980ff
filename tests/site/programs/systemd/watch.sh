# The watcher of one service: starts its processes in its control group and says how they end.

# prepare <unit>: the environment that its processes get, and nothing else.
prepare() {
  INVOCATION_ID=$(tr -d '-' </proc/sys/kernel/random/uuid)
  export INVOCATION_ID
  become "$1" InvocationID "$INVOCATION_ID"
  as_user=$(value "$1" 'Service|User')
  as_group=$(value "$1" 'Service|Group')
  if [ -n "$as_user" ]; then
    HOME=$(getent passwd "$as_user" | cut -d : -f 6) USER=$as_user LOGNAME=$as_user
    export HOME USER LOGNAME
  fi
  values "$1" 'Service|Environment' | EXPAND='' awk -f /usr/lib/site/systemd/words.awk >"/run/site/words.$$"
  eval "set -- $(cat "/run/site/words.$$")" '"$@"'
  while [ $# -gt 1 ]; do export "$1"; shift; done
  for file in $(values "$1" 'Service|EnvironmentFile'); do
    if [ ! -e "${file#-}" ]; then
      [ "$file" != "${file#-}" ] && continue
      say "$1: Failed to load environment files: No such file or directory"
      return 1
    fi
    sed -n 's/^[[:space:]]*\([A-Za-z_][A-Za-z0-9_]*\)=\(.*\)$/\1=\2/p' "${file#-}" >"/run/site/words.$$"
    while IFS= read -r line; do
      eval "set -- $(echo "${line#*=}" | EXPAND='' awk -f /usr/lib/site/systemd/words.awk)" '"$@"'
      if [ $# -gt 1 ]; then export "${line%%=*}=$1"; else export "${line%%=*}="; fi
      while [ $# -gt 1 ]; do shift; done
    done <"/run/site/words.$$"
  done
  rm -f "/run/site/words.$$"
}

# enter <unit> <command line>: becomes the process, in the unit's control group.
enter() {
  unit=$1 line=$2
  while :; do
    case $line in
    [+!]*) as_user="" as_group="" line=${line#?} ;;
    [-@:]*) line=${line#?} ;;
    *) break ;;
    esac
  done
  eval "set -- $(echo "$line" | EXPAND=yes awk -f /usr/lib/site/systemd/words.awk)"
  case $1 in /*) ;; *) fail_to_simulate "a command without its path: $line" ;; esac
  if [ ! -x "$1" ]; then say "$unit: Failed to locate executable $1: No such file or directory"; exit 203; fi
  mkdir -p "$groups/$unit"
  echo 0 >"$groups/$unit/cgroup.procs"
  cd "$(value "$unit" 'Service|WorkingDirectory' /)" || exit 200
  unset PWD OLDPWD
  umask "$(value "$unit" 'Service|UMask' 0022)"
  if [ -n "${as_user:-}" ]; then
    exec setpriv "--reuid=$as_user" "--regid=${as_group:-$as_user}" --init-groups -- "$@" 8>&-
  elif [ -n "${as_group:-}" ]; then
    exec setpriv "--regid=$as_group" --clear-groups -- "$@" 8>&-
  fi
  exec "$@" 8>&-
}

# control <unit> <command line>: runs it to its end; a minus before it forgives a failure.
control() {
  (export MAINPID="${MAINPID:-}"; enter "$1" "$2")
  ended=$?
  case $2 in -* | [@:+!]-*) return 0 ;; esac
  return "$ended"
}

# each <unit> <Service|Key>: runs the command lines of a key until one fails.
each() {
  each_line=$(values "$1" "$2" | wc -l)
  at=1
  while [ "$at" -le "$each_line" ]; do
    control "$1" "$(values "$1" "$2" | sed -n "${at}p")" || return
    at=$((at + 1))
  done
}

# is_alive <process>: whether it runs; one that waits for its parent's leave does not.
is_alive() { [ -e "/proc/$1/status" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
is_stopping() { active_state "$1"; [ "$REPLY" = deactivating ]; }

# ended <unit> <exit code>: tells what it means, in $result.
ended() {
  result=success
  become "$1" ExecMainStatus "$2"
  if is_stopping "$1" || [ "$2" = 0 ] || says "$1" 'Service|SuccessExitStatus' "$2"; then return; fi
  case $2 in
  129 | 130 | 141 | 143) [ "$(value "$1" 'Service|Type' simple)" = oneshot ] && result=signal || : ;;
  13[1-9] | 14[0-9] | 15[0-9]) result=signal ;;
  *) result=exit-code ;;
  esac
}

watch() {
  unit=$1
  load "$unit"
  become "$unit" Watcher $$
  while :; do
    watch_once "$unit"
    is_stopping "$unit" && break
    case $(value "$unit" 'Service|Restart' no) in
    always) ;;
    on-failure) [ "$result" != success ] || break ;;
    no) break ;;
    *) fail_to_simulate "Restart=$(value "$unit" 'Service|Restart') of $unit" ;;
    esac
    become "$unit" SubState auto-restart ActiveState activating
    sleep "$(value "$unit" 'Service|RestartSec' 0.1)"
    is_stopping "$unit" && break
    meets "$unit" Condition || { become "$unit" ConditionResult no; result=success; break; }
  done
  each "$unit" 'Service|ExecStopPost' || :
  finish "$unit" "$result"
}

# watch_once <unit>: from its start to its end, which $result tells.
watch_once() {
  unit=$1
  kind=$(value "$unit" 'Service|Type' simple)
  result=success
  if ! prepare "$unit"; then result=resources; return; fi
  each "$unit" 'Service|ExecStartPre'
  ended "$unit" $?
  [ "$result" = success ] && ! is_stopping "$unit" || return 0
  case $kind in
  oneshot) watch_oneshot "$unit" ;;
  # Nobody waits for readiness here: there is no socket to tell it through.
  simple | exec | notify) watch_main "$unit" ;;
  forking) watch_forking "$unit" ;;
  *) result=not-simulated; fail_to_simulate "Type=$kind of $unit" ;;
  esac
}

watch_oneshot() {
  lines=$(values "$1" 'Service|ExecStart' | wc -l)
  line=1
  while [ "$line" -le "$lines" ] && ! is_stopping "$1"; do
    run_main "$1" "$(values "$1" 'Service|ExecStart' | sed -n "${line}p")"
    [ "$result" = success ] || return 0
    line=$((line + 1))
  done
  if [ "$(value "$1" 'Service|RemainAfterExit' no)" = yes ] && ! is_stopping "$1"; then
    become "$1" MainPID 0 Watcher 0 SubState exited ActiveState active
    exit 0
  fi
}

run_main() {
  (enter "$1" "$2") &
  become "$1" MainPID $!
  wait $!
  code=$?
  case $2 in -*) code=0 ;; esac
  ended "$1" "$code"
}

watch_main() {
  line=$(value "$1" 'Service|ExecStart')
  (enter "$1" "$line") &
  main=$!
  become "$1" MainPID "$main"
  # Type=exec waits for the program to be there; where it is not, this child is gone in a moment.
  while is_alive "$main" && [ "$(cat "/proc/$main/cgroup" 2>/dev/null)" = "$(cat /proc/self/cgroup)" ]; do
    sleep 0.01
  done
  lock "$1"
  is_stopping "$1" || ! is_alive "$main" || become "$1" SubState running ActiveState active
  unlock
  MAINPID=$main each "$1" 'Service|ExecStartPost' || :
  wait "$main"
  code=$?
  case $line in -*) code=0 ;; esac
  ended "$1" "$code"
}

watch_forking() {
  control "$1" "$(value "$1" 'Service|ExecStart')"
  ended "$1" $?
  [ "$result" = success ] || return 0
  file=$(value "$1" 'Service|PIDFile')
  if [ -n "$file" ]; then
    main=$(head -n 1 "$file" 2>/dev/null || :)
  else
    main=$(members "$1" | head -n 1)
  fi
  if [ -z "$main" ] || ! kill -0 "$main" 2>/dev/null; then
    say "$1: Can't open PID file $file (yet?) after start: No such file or directory"
    result=protocol
    return 0
  fi
  lock "$1"
  is_stopping "$1" || become "$1" MainPID "$main" SubState running ActiveState active
  unlock
  while is_alive "$main"; do sleep 0.05; done
  # How it ended was told to process 1 alone. A stop that somebody else did is no failure of the service.
  ended "$1" 0
}
