# Sourced by run: the recipe of the tutorials. One virtualenv and one folder that change in place, Uvicorn's own worker, and
# systemctl reload or restart, behind the same Nginx.
# shellcheck shell=bash

plain_setup() {
  # shellcheck disable=SC2016
  docker exec --interactive "$HOST" sh -c '
    systemctl disable --quiet --now "bench@*.service" bench.socket bench-socket.service 2>/dev/null
    for unit in $(systemctl list-units --plain --no-legend "bench@*" | cut -d" " -f1); do systemctl disable --quiet --now "$unit"; done
    mkdir -p /opt/plain
    cat >/etc/systemd/system/plain.service
    systemctl daemon-reload' <<UNIT
[Service]
Type=notify
User=bench
Group=www-data
RuntimeDirectory=bench
WorkingDirectory=/opt/plain/app
ExecStart=/opt/plain/venv/bin/gunicorn main:app --worker-class uvicorn_worker.UvicornWorker --workers 3 --bind unix:/run/bench/http.sock --umask 007 --max-requests $MAX_REQUESTS --max-requests-jitter $((MAX_REQUESTS / 10))
ExecReload=/bin/kill -HUP \$MAINPID
KillMode=mixed
Restart=always
UNIT
  plain_files
  docker exec "$HOST" systemctl enable --quiet --now plain
}

# The code and the dependencies of the current source, put where the process runs.
plain_files() {
  tar -C "$OUT/source" -c . | docker exec --interactive "$HOST" sh -c '
    set -e
    mkdir -p /opt/plain/app && tar -C /opt/plain/app -x
    export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
    uv=$(ls -d /opt/production.fastapi/uv-*/bin/uv | tail -n 1)
    [ -d /opt/plain/venv ] || "$uv" venv --quiet --python /usr/bin/python3 /opt/plain/venv
    "$uv" pip install --quiet --python /opt/plain/venv/bin/python --requirements /opt/plain/app/requirements.txt
    "$uv" pip install --quiet --python /opt/plain/venv/bin/python "gunicorn>=25,<28" "uvicorn>=0.36,<1" "uvicorn-worker>=0.4,<1" uvloop httptools websockets'
}

plain_unit() { echo plain; }

plain_reload() { docker exec "$HOST" systemctl reload plain; }

plain_deploy() {
  source_of "$1"
  plain_files
  docker exec "$HOST" systemctl restart plain
}

plain_rollback() { plain_deploy "$1"; }
