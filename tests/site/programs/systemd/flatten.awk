# Reads a unit's files in order and writes `Section|Key|value` lines as systemd understands them: comments and
# continuations gone, an empty value taking back what stood before, specifiers replaced.
# UNIT, PREFIX, INSTANCE and HOST come from the environment.

BEGIN {
  value_of["%"] = "%"
  value_of["n"] = ENVIRON["UNIT"]
  value_of["N"] = ENVIRON["UNIT"]; sub(/\.[a-z]+$/, "", value_of["N"])
  value_of["p"] = ENVIRON["PREFIX"]
  value_of["i"] = ENVIRON["INSTANCE"]
  value_of["I"] = unescaped(ENVIRON["INSTANCE"])
  value_of["H"] = ENVIRON["HOST"]
  value_of["t"] = "/run"
  value_of["S"] = "/var/lib"
}

function hex(digit) { return index("0123456789abcdef", tolower(digit)) - 1 }

function unescaped(text,    out, at, c) {
  for (at = 1; at <= length(text); at++) {
    c = substr(text, at, 1)
    if (c == "-") out = out "/"
    else if (substr(text, at, 2) == "\\x") {
      out = out sprintf("%c", hex(substr(text, at + 2, 1)) * 16 + hex(substr(text, at + 3, 1)))
      at += 3
    } else out = out c
  }
  return out
}

function expanded(text,    out, at, c) {
  for (at = 1; at <= length(text); at++) {
    c = substr(text, at, 1)
    if (c != "%") { out = out c; continue }
    c = substr(text, ++at, 1)
    if (!(c in value_of)) {
      print "this systemctl knows no specifier %" c " (" FILENAME ")" > "/dev/stderr"
      exit 64
    }
    out = out value_of[c]
  }
  return out
}

function forget(pattern,    at) {
  for (at = 1; at <= count; at++) if (keys[at] ~ pattern) keys[at] = ""
}

FNR == 1 { section = ""; held = "" }
{
  line = $0
  sub(/^[ \t]+/, "", line)
  if (line ~ /^[#;]/) next
  if (held == "" && line == "") next
  line = held line
  if (line ~ /\\$/) { held = substr(line, 1, length(line) - 1) " "; next }
  held = ""
  if (line ~ /^\[[^]]*\][ \t]*$/) { sub(/[ \t]+$/, "", line); section = substr(line, 2, length(line) - 2); next }
  equals = index(line, "=")
  if (equals == 0) next
  key = substr(line, 1, equals - 1); sub(/[ \t]+$/, "", key)
  value = substr(line, equals + 1); sub(/^[ \t]+/, "", value); sub(/[ \t]+$/, "", value)
  if (value == "") {
    if (key ~ /^(Condition|Assert)/) { forget("^Unit\\|" (index($0, "Assert") ? "Assert" : "Condition")) }
    else forget("^" section "\\|" key "$")
    next
  }
  keys[++count] = section "|" key
  values[count] = expanded(value)
}

END { for (at = 1; at <= count; at++) if (keys[at] != "") print keys[at] "|" values[at] }
