#!/bin/sh
# Written by the role production.fastapi.redis. There is nothing to change here.
# What the units of Redis and Sentinel ask of the group: who is the primary, and that another one becomes it.
#   group primary    address and port of the primary
#   group start      before Redis starts: write of whom it is a replica
#   group handover   before Redis stops: let a replica become the primary, if this is it
#   group state      before Sentinel starts: write its file, from ours and from what it knew
set -u
# HERE, FIRST, MEMBERS, SENTINELS, SENTINEL_PORT and the password for redis-cli.
# shellcheck source=/dev/null
. /etc/redis/group.conf
state=/var/lib/redis-sentinel/sentinel.conf

ask() {
  address=$1
  shift
  timeout 1 redis-cli --user group --no-auth-warning -h "$address" -p "$SENTINEL_PORT" sentinel "$@" 2>/dev/null
}

# By the one that knows the newest; nothing when none answers.
primary() {
  for each in $SENTINELS; do
    ask "$each" master primary |
      awk 'NR % 2 { key = $0; next } { value[key] = $0 } END { if ("ip" in value) print value["config-epoch"], value["ip"], value["port"] }'
  done | sort -n | tail -n 1 | cut -d ' ' -f 2-
}

# What this host's Sentinel knew when it stopped; at the very first start, the first of the group.
known() {
  sed -n 's/^sentinel monitor primary \(.*\) [0-9]*$/\1/p' "$state" 2>/dev/null | grep . || echo "$FIRST"
}

# Whether another one has to become the primary: it is this host, or one that has left the group.
leaves() {
  found=$(primary)
  [ "$found" = "$HERE" ] || { [ -n "$found" ] && ! echo "$MEMBERS" | grep -qxF "$found"; }
}

handover() {
  leaves || return 0
  for each in $SENTINELS; do
    ask "$each" failover primary | grep -qE '^OK|INPROG' || continue
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
      leaves || return 0
      sleep 0.25
    done
    return 0
  done
}

case $1 in
  primary) primary ;;
  handover) handover ;;
  start)
    # What was the primary has forgotten everything, so a replica that has not is a better one.
    handover
    found=$(primary)
    found=${found:-$(known)}
    if [ "$found" = "$HERE" ]; then line='# the primary'; else line="replicaof $found"; fi
    echo "$line" >/run/redis/primary.conf
    chmod 644 /run/redis/primary.conf
    ;;
  state)
    {
      sed "s/^sentinel monitor primary .* \([0-9]*\)$/sentinel monitor primary $(known) \1/" /etc/redis/sentinel.conf
      grep -E '^sentinel (myid|current-epoch|config-epoch|leader-epoch) ' "$state" 2>/dev/null
      # Who has left the group is forgotten.
      for each in $SENTINELS; do
        grep -E '^sentinel known-(replica|sentinel) ' "$state" 2>/dev/null | grep -F " primary $each "
      done
    } >"$state.new"
    chown redis:redis "$state.new"
    chmod 600 "$state.new"
    mv "$state.new" "$state"
    ;;
esac
