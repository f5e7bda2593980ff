# What systemctl changes about unit files, and the boot.

own=/etc/systemd/system

enable_unit() {
  path=$(fragment_of "$1")
  if [ -z "$path" ]; then say "Failed to enable unit: Unit file $1 does not exist."; return 1; fi
  if [ "$(file_state "$1")" = masked ]; then say "Failed to enable unit: Unit file $path is masked."; return 1; fi
  rm -f "$known/$1"
  load "$1"
  installed=""
  for kind in WantedBy:wants RequiredBy:requires; do
    for target in $(values "$1" "Install|${kind%:*}"); do
      link_unit "$path" "$own/$target.${kind#*:}/$1"
      installed=yes
    done
  done
  for alias in $(values "$1" 'Install|Alias'); do link_unit "$path" "$own/$alias"; installed=yes; done
  for other in $(values "$1" 'Install|Also'); do enable_unit "$other"; installed=yes; done
  [ -n "$installed" ] || say "The unit files have no installation config (WantedBy=, RequiredBy=, Also=, Alias= settings)."
}

link_unit() {
  [ "$(readlink "$2")" != "$1" ] || return 0
  mkdir -p "${2%/*}"
  ln -sfn "$1" "$2"
  say "Created symlink $2 → $1."
}

disable_unit() {
  path=$(fragment_of "$1")
  for link in "$own"/*.wants/"$1" "$own"/*.requires/"$1"; do
    if [ -L "$link" ]; then rm "$link"; say "Removed \"$link\"."; fi
  done
  if [ -z "$path" ]; then say "Failed to disable unit: Unit file $1 does not exist."; return 1; fi
  # A unit file that is itself a link is removed with the links to it.
  [ "$(file_state "$1")" != masked ] || return 0
  for link in "$own"/*; do
    [ -L "$link" ] && [ "$(readlink -f "$link")" = "$(readlink -f "$path")" ] || continue
    rm "$link"
    say "Removed \"$link\"."
  done
}

mask_unit() {
  in=$own
  [ -z "$runtime" ] || in=/run/systemd/system
  if [ -e "$in/$1" ] && [ "$(readlink "$in/$1")" != /dev/null ]; then
    say "Failed to mask unit: File $in/$1 already exists."
    return 1
  fi
  link_unit /dev/null "$in/$1"
}

unmask_unit() {
  for link in "$own/$1" "/run/systemd/system/$1"; do
    [ "$(readlink "$link")" = /dev/null ] || continue
    rm "$link"
    say "Removed \"$link\"."
  done
}

# What process 1 does first: the system's targets are reached, and with them what was enabled into them.
boot_machine() {
  mkdir -p "$own"
  run_generators
  for target in $system_targets; do
    [ "$target" != shutdown.target ] || continue
    become "$target" ActiveState active SubState active
    load "$target"
  done
  for target in $system_targets; do
    for needed in $(values "$target" 'Unit|Requires') $(values "$target" 'Unit|Wants'); do
      (start_unit "$needed") >>/var/log/site/boot.log 2>&1 || :
    done
  done
}
