#!/bin/sh
# Runs on the host of the authority: Pebbles whose certificates live for 90, 45 and 6 days and for 45 seconds, and one that
# knows its clients, issues for six days and asks BIND, which takes records of wild.test from who has the key.
set -e
# The image has them.
install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends pebble openssl curl bind9 >/dev/null; }
install || { apt-get update -qq && install; }
mkdir -p /srv/pebble && cd /srv/pebble
request() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
request -x509 -days 400 -subj /CN=ca -keyout ca.key -out ca.pem
request -subj /CN=acme.test -keyout key.pem -out request.pem
printf 'subjectAltName=DNS:acme.test' >names
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 400 -extfile names -out cert.pem 2>/dev/null
authority() {
  cat >"$1.json" <<JSON
{"pebble": {"listenAddress": "0.0.0.0:$1", "managementListenAddress": "0.0.0.0:$2", "certificate": "/srv/pebble/cert.pem",
  "privateKey": "/srv/pebble/key.pem", "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "",
  "retryAfter": {"authz": 1, "order": 1}, $3}}
JSON
  systemd-run --quiet --unit "pebble-$1" --setenv PEBBLE_VA_NOSLEEP=1 --setenv PEBBLE_WFE_NONCEREJECT=0 \
    pebble -config "/srv/pebble/$1.json" -dnsserver "127.0.0.1:$4"
}
authority 14000 14001 '"certificateValidityPeriod": 7776000' 53
authority 15000 15001 '"certificateValidityPeriod": 45' 53
authority 16000 16001 '"certificateValidityPeriod": 518400, "externalAccountBindingRequired": true,
  "externalAccountMACKeys": {"known": "'"$(cat /srv/eab)"'"}' 5353
authority 17000 17001 '"certificateValidityPeriod": 3888000' 53
authority 18000 18001 '"certificateValidityPeriod": 518400' 53
cat >/etc/bind/named.conf <<BIND
options { directory "/var/cache/bind"; listen-on port 5353 { any; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; };
# Its own root, so that it looks for no other.
zone "." { type primary; file "/etc/bind/db.empty"; };
key "certbot." { algorithm hmac-sha256; secret "$(cat /srv/tsig)"; };
zone "wild.test" { type primary; file "/var/lib/bind/wild.test"; allow-update { key "certbot."; }; };
BIND
printf '%s\n' '$TTL 1' '@ SOA acme.test. root.acme.test. 1 60 60 60 1' '@ NS acme.test.' >/var/lib/bind/wild.test
chown bind: /var/lib/bind/wild.test
systemctl restart named
systemd-run --quiet --unit names pebble-challtestsrv -dns01 :53 -defaultIPv4 "" -defaultIPv6 "" -http01 "" \
  -https01 "" -tlsalpn01 "" -doh "" -management 127.0.0.1:8055
