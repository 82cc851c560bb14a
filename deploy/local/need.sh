# For the scripts beside it: source it after setting `me`.

die() { echo "$me: $*" >&2; exit 1; }

# Installs a Debian package if a program is missing, and says so.
need() { # program, package
  if command -v "$1" >/dev/null 2>&1; then return; fi
  echo "$me: no $1 here, installing $2" >&2
  command -v apt-get >/dev/null 2>&1 || die "install $1 by hand, then try again"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2
}
