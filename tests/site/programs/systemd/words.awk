# Splits a command line, or a list of assignments, into words as systemd does, and writes them quoted for a shell's
# `eval "set -- …"`. There is no shell in systemd: every other character means itself. With EXPAND set, ${NAME} is
# replaced within words and $NAME where it is a whole word.

function quoted(word) { gsub(/'/, "'\\''", word); return "'" word "'" }

function replaced(word,    out, name, at) {
  while ((at = index(word, "$")) > 0) {
    out = out substr(word, 1, at - 1)
    word = substr(word, at)
    if (substr(word, 2, 1) == "$") { out = out "$"; word = substr(word, 3) }
    else if (match(word, /^\$\{[A-Za-z_][A-Za-z0-9_]*\}/)) {
      name = substr(word, 3, RLENGTH - 3)
      out = out ENVIRON[name]
      word = substr(word, RLENGTH + 1)
    } else { out = out "$"; word = substr(word, 2) }
  }
  return out word
}

function emit(word, was_quoted,    many, parts, at) {
  if (ENVIRON["EXPAND"] == "") { printf "%s ", quoted(word); return }
  if (!was_quoted && word ~ /^\$[A-Za-z_][A-Za-z0-9_]*$/) {
    many = split(ENVIRON[substr(word, 2)], parts, /[ \t]+/)
    for (at = 1; at <= many; at++) if (parts[at] != "") printf "%s ", quoted(parts[at])
    return
  }
  printf "%s ", quoted(replaced(word))
}

{
  word = ""; open = ""; begun = 0; was_quoted = 0
  for (at = 1; at <= length($0); at++) {
    c = substr($0, at, 1)
    if (c == "\\") { word = word substr($0, ++at, 1); begun = 1 }
    else if (open != "") { if (c == open) open = ""; else word = word c }
    else if (c == "\"" || c == "'") { open = c; begun = 1; was_quoted = 1 }
    else if (c == " " || c == "\t") { if (begun) emit(word, was_quoted); word = ""; begun = 0; was_quoted = 0 }
    else { word = word c; begun = 1 }
  }
  if (begun) emit(word, was_quoted)
}
