#!/usr/bin/env bash
# Apicurio Registry on this machine, for tests and demonstrations: loopback only, in memory.
#
#   apicurio.sh install                          fetches it with Maven into ~/.cache/renku-graph/apicurio (once)
#   apicurio.sh start DIR --port P [--attend PID]  starts it and waits until it answers; its log and process id are in DIR;
#                                                --attend: stops it when process PID is gone
#   apicurio.sh stop DIR                         stops it
#
# Confluent's API is at http://127.0.0.1:P/apis/ccompat/v7.
set -euo pipefail

me=apicurio.sh
. "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/need.sh"

version=2.6.13.Final
cache=${RENKU_APICURIO_CACHE:-$HOME/.cache/renku-graph/apicurio}
home=$cache/$version


install() {
  need java openjdk-17-jre-headless
  if [ -e "$home/complete" ]; then return; fi
  need mvn maven
  mkdir -p "$cache"
  echo "apicurio.sh: fetching Apicurio Registry $version into $cache" >&2
  local part
  part=$(mktemp -d "$cache/part.XXXXXX")
  mvn -q -B dependency:copy -Dartifact="io.apicurio:apicurio-registry-app:$version:tar.gz:all" -DoutputDirectory="$part/tar" >&2 \
    || die "it cannot be fetched"
  mkdir "$part/app"
  tar xzf "$part/tar/"*.tar.gz -C "$part/app"
  touch "$part/app/complete"
  # Two processes may do this at once: the first one's stays.
  mv -T "$part/app" "$home" 2>/dev/null || [ -e "$home/complete" ] || die "$home is in the way"
  rm -rf "$part"
}

answers() { curl -fsS --max-time 2 -o /dev/null "http://127.0.0.1:$1/apis/ccompat/v7/subjects" 2>/dev/null; }

start() {
  local dir=$1 port='' attend=''
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --port) port=$2; shift 2 ;;
      --attend) attend=$2; shift 2 ;;
      *) die "unknown option $1" ;;
    esac
  done
  [ -n "$port" ] || die "--port is needed"
  install
  mkdir -p "$dir"
  local runner
  runner=$(ls "$home"/apicurio-registry-app-*-runner.jar)
  setsid env QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT="$port" \
    java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$runner" >"$dir/apicurio.log" 2>&1 </dev/null &
  local pid=$!
  echo "$pid" >"$dir/apicurio.pid"
  if [ -n "$attend" ]; then
    setsid bash -c "while kill -0 $attend 2>/dev/null && kill -0 $pid 2>/dev/null; do sleep 1; done; kill $pid 2>/dev/null" \
      >/dev/null 2>&1 </dev/null &
  fi
  local waited=0
  until answers "$port"; do
    kill -0 "$pid" 2>/dev/null || { tail -20 "$dir/apicurio.log" >&2; die "it ended while starting"; }
    waited=$((waited + 1))
    [ "$waited" -lt 600 ] || die "it does not answer after 120 s, see $dir/apicurio.log"
    sleep 0.2
  done
}

stop() {
  local pid waited=0
  pid=$(cat "$1/apicurio.pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do
    waited=$((waited + 1))
    if [ "$waited" -gt 100 ]; then kill -9 "$pid" 2>/dev/null || true; fi
    sleep 0.1
  done
}

case ${1:-} in
  install) install ;;
  start) shift; [ $# -ge 1 ] || die "start DIR --port P"; start "$@" ;;
  stop) [ $# -eq 2 ] || die "stop DIR"; stop "$2" ;;
  *) sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 2 ;;
esac
