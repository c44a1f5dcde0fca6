#!/bin/sh
# The floor: what a plain script needs to put the same packages and the same virtual environment on a bare host.
# It reads the locked requirements from standard input, and configures nothing.
set -eu
export DEBIAN_FRONTEND=noninteractive PIP_CERT=/etc/ssl/certs/ca-certificates.crt
apt-get update --quiet --quiet
apt-get install --quiet --quiet --yes --no-install-recommends nginx openssl python3-venv >/dev/null
python3 -m venv /srv/floor
cat >/srv/requirements.txt
/srv/floor/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement /srv/requirements.txt
