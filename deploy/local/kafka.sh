#!/usr/bin/env bash
# Apache Kafka on this machine, for tests, benchmarks and the demonstration: loopback only, nothing is installed system-wide
# but a Java runtime where there is none.
#
#   kafka.sh install                              downloads Kafka into ~/.cache/renku-graph/kafka (once)
#   kafka.sh start DIR [--brokers 1|3] [--port P] [--tls-scram | --tls-oauth] [--through P,P,P]...
#                  [--set KEY=VALUE]... [--attend PID [--keep]]
#                                                 makes a cluster in DIR (kept if it is there) and starts it;
#                                                 --through: a further way in, by proxies that listen on these ports, one a
#                                                 broker; --attend: stops it and removes DIR (--keep: leaves DIR) when
#                                                 process PID is gone
#   kafka.sh stop DIR                             stops all its brokers, cleanly
#   kafka.sh start-broker DIR N                   starts broker N again
#   kafka.sh stop-broker DIR N [--kill]           stops broker N; --kill: without a word
#   kafka.sh tool DIR CLASS [ARGUMENT]...         runs one of Kafka's own tools, e.g. org.apache.kafka.tools.TopicCommand
#
# After start, DIR has: bootstrap (host:port list); for each --through a file through.1, through.2, … with a line "proxy's
# port, broker's port" for each broker; and with --tls-scram also bootstrap.secure, ca.pem and users, a line
# "name password" for the administrator and for each role. With --tls-oauth there are no users: the listener takes
# OAUTHBEARER tokens that nobody signed, as Kafka's developers' mode does. Loopback only, and never anything else.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me=kafka.sh
. "$here/need.sh"
cache=${RENKU_KAFKA_CACHE:-$HOME/.cache/renku-graph/kafka}
roles=(webhook-service commit-fetcher triple-generator graph-writer query-service operator)


# Fetches Kafka with Maven and checks every sum. Two processes may do it at once: files appear by rename.
install() {
  need java openjdk-17-jre-headless
  mkdir -p "$cache/libs"
  local list="$here/kafka.jars" stamp
  stamp="$cache/$(sha256sum "$list" | cut -c1-16).complete"
  if [ -e "$stamp" ]; then return; fi
  echo "kafka.sh: downloading Kafka into $cache" >&2
  need mvn maven
  local part sum path
  part=$(mktemp -d "$cache/part.XXXXXX")
  mvn -q -B -f "$here/kafka-pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$part" >&2 \
    || die "Kafka cannot be downloaded"
  grep -v '^#' "$list" | while read -r sum path; do echo "$sum  $part/${path##*/}"; done | sha256sum --check --status \
    || die "a file of Kafka is missing or has another checksum than kafka.jars says: see $part"
  grep -v '^#' "$list" | while read -r sum path; do mv -f "$part/${path##*/}" "$cache/libs/"; done
  rm -rf "$part"
  for target in SYSTEM_OUT:INFO:server SYSTEM_ERR:WARN:tools; do
    IFS=: read -r stream level name <<<"$target"
    cat >"$cache/$name-log.yaml" <<YAML
Configuration: {status: warn, Appenders: {Console: {name: OUT, target: $stream, PatternLayout: {pattern: "[%d] %p %m (%c)%n"}}},
  Loggers: {Root: {level: $level, AppenderRef: {ref: OUT}}}}
YAML
  done
  touch "$stamp"
}

java_tool() {
  java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="file:$cache/tools-log.yaml" \
    -cp "$cache/libs/*" "$@"
}

free_ports() { # how many
  python3 - "$1" <<'PY'
import random, socket, sys
# Below the ports of outgoing connections: any of those may be taken again before a broker listens there.
held = []
while len(held) < int(sys.argv[1]):
    s = socket.socket()
    try: s.bind(("127.0.0.1", random.randrange(12000, 32000)))
    except OSError: continue
    held.append(s)
print(*[s.getsockname()[1] for s in held])
PY
}

certificates() { # DIR
  local dir=$1
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=renku local authority" \
    -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
  openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
    -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost") -out "$dir/server.crt" 2>/dev/null
  # The brokers want PKCS#8, certificate and authority in one file.
  { openssl pkcs8 -topk8 -nocrypt -in "$dir/server.key"; cat "$dir/server.crt" "$dir/ca.pem"; } >"$dir/server.pem"
  chmod 600 "$dir/server.pem" "$dir/server.key" "$dir/ca.key"
}

configure() { # DIR BROKERS PORT SECURE "PROXIES..." [KEY=VALUE]...
  local dir=$1 brokers=$2 port=$3 secure=$4 proxies way; read -r -a proxies <<<"$5"; shift 5
  local ports=() each=$((3 + ${#proxies[@]}))
  if [ -n "$port" ]; then
    for ((i = 0; i < brokers * each; i++)); do ports+=($((port + i))); done
  else
    read -r -a ports <<<"$(free_ports $((brokers * each)))"
  fi
  local voters="" bootstrap="" bootstrap_secure="" i at
  for ((i = 1; i <= brokers; i++)); do
    at=$(((i - 1) * each))
    voters+="${voters:+,}$i@127.0.0.1:${ports[at + 1]}"
    bootstrap+="${bootstrap:+,}127.0.0.1:${ports[at]}"
    bootstrap_secure+="${bootstrap_secure:+,}127.0.0.1:${ports[at + 2]}"
  done
  # 16 random bytes as Kafka writes them; a leading dash would look like an option.
  local cluster_id=-
  while [[ $cluster_id == -* ]]; do cluster_id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); done
  local min_isr=1
  if [ "$brokers" -gt 1 ]; then min_isr=2; fi
  local scram=()
  if [ "$secure" != no ]; then
    certificates "$dir"
    echo "$bootstrap_secure" >"$dir/bootstrap.secure"
  fi
  if [ "$secure" = scram ]; then
    (umask 077; for user in admin "${roles[@]}"; do echo "$user $(openssl rand -hex 16)"; done >"$dir/users")
    while read -r user password; do scram+=(--add-scram "SCRAM-SHA-512=[name=$user,password=$password]"); done <"$dir/users"
  fi
  for ((i = 1; i <= brokers; i++)); do
    at=$(((i - 1) * each))
    mkdir -p "$dir/broker-$i"
    {
      cat <<PROPERTIES
process.roles=broker,controller
node.id=$i
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/broker-$i/log
offsets.topic.replication.factor=$brokers
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$brokers
transaction.state.log.min.isr=$min_isr
share.coordinator.state.topic.replication.factor=$brokers
share.coordinator.state.topic.min.isr=$min_isr
min.insync.replicas=$min_isr
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
auto.create.topics.enable=false
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
PROPERTIES
      local plain="PLAINTEXT://127.0.0.1:${ports[at]}" tls="SASL_SSL://127.0.0.1:${ports[at + 2]}" kinds=""
      local known=$plain
      for ((way = 1; way <= ${#proxies[@]}; way++)); do
        local ours theirs=$((at + 2 + way))
        ours=$(cut -d, -f"$i" <<<"${proxies[way - 1]}")
        plain+=",WAY$way://127.0.0.1:${ports[theirs]}"
        known+=",WAY$way://127.0.0.1:$ours"
        kinds+=",WAY$way:PLAINTEXT"
        echo "$ours ${ports[theirs]}" >>"$dir/through.$way"
      done
      if [ "$secure" != no ]; then
        local mechanism=SCRAM-SHA-512 login="org.apache.kafka.common.security.scram.ScramLoginModule required"
        if [ "$secure" = oauth ]; then
          mechanism=OAUTHBEARER
          login="org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\""
        fi
        cat <<PROPERTIES
listeners=$plain,$tls,CONTROLLER://127.0.0.1:${ports[at + 1]}
advertised.listeners=$known,$tls
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL$kinds
sasl.enabled.mechanisms=$mechanism
listener.name.sasl_ssl.${mechanism,,}.sasl.jaas.config=$login;
ssl.keystore.type=PEM
ssl.keystore.location=$dir/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$dir/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
PROPERTIES
      else
        cat <<PROPERTIES
listeners=$plain,CONTROLLER://127.0.0.1:${ports[at + 1]}
advertised.listeners=$known
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT$kinds
PROPERTIES
      fi
      for setting in "$@"; do echo "$setting"; done
    } >"$dir/broker-$i/server.properties"
    java_tool kafka.tools.StorageTool format --cluster-id "$cluster_id" -c "$dir/broker-$i/server.properties" \
      "${scram[@]}" >"$dir/broker-$i/format.log" 2>&1 || { cat "$dir/broker-$i/format.log" >&2; die "the log folder cannot be formatted"; }
  done
  echo "$bootstrap" >"$dir/bootstrap"
}

launch() { # DIR N
  local broker=$1/broker-$2
  [ -e "$broker/server.properties" ] || die "$1 has no broker $2"
  if [ -e "$broker/pid" ] && kill -0 "$(cat "$broker/pid")" 2>/dev/null; then return; fi
  # A session of its own: what ends the caller's terminal does not end the broker half-way.
  setsid java -Xms64m -Xmx384m -XX:MaxDirectMemorySize=128m -XX:+UseSerialGC -XX:ReservedCodeCacheSize=64m \
    -XX:MaxMetaspaceSize=160m -XX:-UsePerfData -Dlog4j2.configurationFile="file:$cache/server-log.yaml" \
    -cp "$cache/libs/*" kafka.Kafka "$broker/server.properties" >"$broker/broker.log" 2>&1 </dev/null &
  echo $! >"$broker/pid"
}

wait_ready() { # DIR N
  local broker=$1/broker-$2 tries
  for ((tries = 0; tries < 600; tries++)); do
    if grep -q "Kafka Server started" "$broker/broker.log" 2>/dev/null; then return; fi
    kill -0 "$(cat "$broker/pid")" 2>/dev/null || { tail -n 20 "$broker/broker.log" >&2; die "broker $2 ended while it started"; }
    sleep 0.1
  done
  die "broker $2 is not ready after 60 s: see $broker/broker.log"
}

halt() { # DIR N SIGNAL
  local broker=$1/broker-$2 pid tries
  [ -e "$broker/pid" ] || return 0
  pid=$(cat "$broker/pid")
  kill "-$3" "$pid" 2>/dev/null || { rm -f "$broker/pid"; return 0; }
}

wait_gone() { # DIR N
  local broker=$1/broker-$2 pid tries
  [ -e "$broker/pid" ] || return 0
  pid=$(cat "$broker/pid")
  for ((tries = 0; tries < 150; tries++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$broker/pid"
}

numbers() { # DIR
  local folder
  for folder in "$1"/broker-*/; do
    folder=${folder%/}
    echo "${folder##*-}"
  done
}

command=${1:-help}
if [ $# -gt 0 ]; then shift; fi
case "$command" in
  install) install ;;
  start)
    [ $# -ge 1 ] || die "a folder is needed"
    mkdir -p "$1"; dir=$(cd "$1" && pwd); shift
    brokers=1 port="" secure=no attend="" keep=no settings=() through=()
    while [ $# -gt 0 ]; do
      case "$1" in
        --brokers) brokers=$2; shift 2 ;;
        --port) port=$2; shift 2 ;;
        --tls-scram) secure=scram; shift ;;
      --tls-oauth) secure=oauth; shift ;;
        --set) settings+=("$2"); shift 2 ;;
        --through) through+=("$2"); shift 2 ;;
        --keep) keep=yes; shift ;;
        --attend) attend=$2; shift 2 ;;
        *) die "$1 is not understood" ;;
      esac
    done
    install
    if [ ! -e "$dir/bootstrap" ]; then configure "$dir" "$brokers" "$port" "$secure" "${through[*]}" "${settings[@]}"; fi
    if [ -n "$attend" ]; then
      # Whatever becomes of that process, no broker stays behind. One that was started anew for another is that one's.
      echo "$attend" >"$dir/attended"
      setsid bash -c 'while kill -0 "$1" 2>/dev/null; do sleep 0.5; done
        [ "$(cat "$2/attended" 2>/dev/null)" = "$1" ] || exit 0
        bash "$0" stop "$2"; [ "$3" = yes ] || rm -rf "$2"' \
        "$here/kafka.sh" "$attend" "$dir" "$keep" >/dev/null 2>&1 </dev/null &
    fi
    for n in $(numbers "$dir"); do launch "$dir" "$n"; done
    for n in $(numbers "$dir"); do wait_ready "$dir" "$n"; done
    cat "$dir/bootstrap"
    ;;
  stop)
    for n in $(numbers "$1"); do halt "$1" "$n" TERM; done
    for n in $(numbers "$1"); do wait_gone "$1" "$n"; done
    ;;
  start-broker) install; launch "$1" "$2"; wait_ready "$1" "$2" ;;
  stop-broker)
    if [ "${3:-}" = --kill ]; then halt "$1" "$2" KILL; else halt "$1" "$2" TERM; fi
    wait_gone "$1" "$2"
    ;;
  tool) install; shift; java_tool "$@" ;;
  *) sed -n '2,/^set -/p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//; /^set -/d' ;;
esac
