#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks, with apt-get only, and says what it does.
set -euo pipefail

missing=()
want() { # program, Debian package
  command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
want git git
want gcc gcc
want python3 python3
# librdkafka, the Kafka client, is built from the sources in its crate and uses the system's OpenSSL.
want g++ g++
want make make
want pkg-config pkg-config
if ! pkg-config --exists libssl 2>/dev/null; then missing+=(libssl-dev); fi
# For the local Kafka of tests and the demonstration.
want curl curl
want openssl openssl
want java openjdk-17-jre-headless
want mvn maven
want kcat kcat
# promtool checks the alert rules.
want promtool prometheus
# git serves HTTP through this helper, which is a part of the git package.
if command -v git >/dev/null 2>&1 && [ ! -x "$(git --exec-path)/git-http-backend" ]; then missing+=(git); fi
if command -v python3 >/dev/null 2>&1; then
  python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing+=(python3-venv)
fi

if [ ${#missing[@]} -eq 0 ]; then
  echo "system packages: nothing is missing"
  exit 0
fi
echo "system packages: installing ${missing[*]}"
if ! command -v apt-get >/dev/null 2>&1; then
  echo "this machine has no apt-get: install ${missing[*]} by hand, then run make again" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
export DEBIAN_FRONTEND=noninteractive
# Debian starts a service once it is installed; Prometheus is here for its promtool only. Exit code 101 forbids it.
policy=/usr/sbin/policy-rc.d
if [[ " ${missing[*]} " == *" prometheus "* ]] && [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  "${as_root[@]}" chmod 755 "$policy"
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
