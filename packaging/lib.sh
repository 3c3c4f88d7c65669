# shellcheck shell=bash
# shellcheck disable=SC2016  # the field patterns of dpkg-query and apt are for them
# What the packaging scripts share. Sourced, never run.

export DEBIAN_FRONTEND=noninteractive

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }
as_root() { [ "$(id -u)" = 0 ] || die "must run as root: sudo $0"; }

# quietly COMMAND...: shows the output only when the command fails.
quietly() {
  local out rc=0
  out=$("$@" 2>&1 </dev/null) || rc=$?
  [ "$rc" = 0 ] || printf '%s\n%s: "%s" failed with status %s\n' "$out" "${0##*/}" "$*" "$rc" >&2
  return "$rc"
}

# A package, or one that provides the name.
installed() {
  dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides},\n' | grep -E "^installed (.* )?$1( \([^)]*\))?," >/dev/null
}

# need PACKAGE...: installs the Debian packages of the host that are missing.
need() {
  local package missing=() install=(apt-get -qy -o DPkg::Lock::Timeout=300 install --no-install-recommends)
  for package; do installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} != 0 ] || return 0
  say "installing ${missing[*]}"
  # The lists are fetched only when they do not know a package, or know a version that is gone.
  "${install[@]}" "${missing[@]}" >/dev/null 2>&1 </dev/null && return
  quietly apt-get -q update && quietly "${install[@]}" "${missing[@]}"
}

# control FIELD FILE: the package names of a dependency field, without versions, alternatives and substitutions.
control() {
  awk -v field="$1:" '
    /^[^ \t#]/ { on = ($1 == field); sub(/^[^:]*:/, "") }
    on && !/^#/ { gsub(/\([^)]*\)|<[^>]*>|\|[^,]*|\$\{[^}]*\}/, ""); gsub(/,/, " "); print }' "$2" | xargs
}

# Debian 13 and Ubuntu 26.04 are the oldest with every runtime dependency (python3-orjson, systemd 257).
modern_distribution() (
  # shellcheck source=/dev/null
  . /etc/os-release
  case $ID in
    debian) [ "${VERSION_ID:-99}" -ge 13 ] ;;   # testing and sid have no VERSION_ID
    ubuntu) [ "${VERSION_ID%%.*}" -ge 26 ] ;;
    *) false ;;
  esac
)
booted_by_systemd() { [ -d /run/systemd/system ] && [ "$(cat /proc/1/comm)" = systemd ]; }

# The comment at the head of the script is its help.
usage() { sed -n '2,/^[^#]/{/^#/!d;/^# shellcheck/d;s/^# \{0,1\}//;p}' "$0"; }
help_or_complain() {
  case $1 in -h | --help) usage; exit 0 ;; esac
  usage >&2; die "unknown argument $1"
}
