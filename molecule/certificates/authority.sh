#!/bin/sh
# Runs on the host of the authority: two Pebbles, one whose certificates live for 90 days, and one for 45 seconds, with the names
# that they resolve.
set -e
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends pebble openssl curl >/dev/null
mkdir -p /srv/pebble && cd /srv/pebble
request() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
request -x509 -days 30 -subj /CN=ca -keyout ca.key -out ca.pem
request -subj /CN=acme.test -keyout key.pem -out request.pem
printf 'subjectAltName=DNS:acme.test' >names
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out cert.pem 2>/dev/null
authority() {
  cat >"$1.json" <<JSON
{"pebble": {"listenAddress": "0.0.0.0:$1", "managementListenAddress": "0.0.0.0:$2", "certificate": "/srv/pebble/cert.pem",
  "privateKey": "/srv/pebble/key.pem", "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "",
  "externalAccountBindingRequired": false, "retryAfter": {"authz": 1, "order": 1}, "certificateValidityPeriod": $3}}
JSON
  systemd-run --quiet --unit "pebble-$1" --setenv PEBBLE_VA_NOSLEEP=1 --setenv PEBBLE_WFE_NONCEREJECT=0 \
    pebble -config "/srv/pebble/$1.json" -dnsserver 127.0.0.1:53
}
authority 14000 14001 7776000
authority 15000 15001 45
systemd-run --quiet --unit names pebble-challtestsrv -dns01 :53 -defaultIPv4 "" -defaultIPv6 "" -http01 "" \
  -https01 "" -tlsalpn01 "" -doh "" -management 127.0.0.1:8055
