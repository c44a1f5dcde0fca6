# Sourced by script/demo: a cluster on test hosts of this machine, under load while things happen to it.
# shellcheck shell=bash disable=SC2153,SC2154

CLUSTER=$NAME-cluster
CLUSTER_INVENTORY=$CACHE/demo-cluster
CLUSTER_SOURCE=$CACHE/demo-cluster-source
CLUSTER_DOMAIN=shop.example.com
declare -A CLUSTER_HOSTS=([lb1]=debian13 [lb2]=debian12 [app1]=debian13 [app2]=debian12 [app3]=debian13 [redis1]=debian13)

cluster() {
  local started=$SECONDS
  phase tools tools
  phase engine engine
  phase images cluster_images
  phase hosts cluster_hosts
  cluster_source "one"
  phase site.yml cluster_play site.yml
  cluster_load_start
  cluster_mark "nothing happens"
  sleep 5
  cluster_mark "deploy a good release"
  cluster_source "two"
  phase "deploy a good release" cluster_play playbooks/deploy.yml
  cluster_mark "deploy a bad release"
  # It can be imported, and so built, but not served.
  cluster_source "three" 'import sys; assert "gunicorn.app.wsgiapp" not in sys.modules, "this release cannot start"'
  phase "deploy a bad release" cluster_bad_deploy
  cluster_mark "app3 loses power"
  phase "cut the power of app3" cluster_cut app3
  sleep 10
  cluster_mark "app3 has power again"
  phase "start app3" cluster_start app3
  sleep 3
  cluster_mark "app2 restarts"
  phase "restart app2" cluster_restart app2
  sleep 3
  cluster_load_stop
  cluster_source "two"
  .venv/bin/ansible-playbook --inventory "$CLUSTER_INVENTORY" playbooks/status.yml --extra-vars "html=$CACHE/demo-cluster.html" |
    sed -n '/SERVER/,/servers, /p'
  cat <<SCREEN

  Two load balancers, three app servers and Redis, with clients asking both load balancers all the time:

$(cat "$CACHE/demo-cluster-report.txt")

  Took          $((SECONDS - started)) s ($(printf '%s · ' "${PHASES[@]}" | sed 's/ · $//'))
  The topology  ${CACHE#"$ROOT"/}/demo-cluster.html
  Play on       .venv/bin/ansible-playbook -i ${CLUSTER_INVENTORY#"$ROOT"/} playbooks/status.yml   (or drain, rollback, maintenance, …)
  Tear down     script/demo down

SCREEN
}

cluster_images() {
  image debian12
  image debian13
}

cluster_hosts() {
  local name options
  network "$CLUSTER" 198.18.11.0/24
  for name in lb1 lb2 app1 app2 app3 redis1; do
    options=()
    [[ $name != lb* ]] || options=(--publish 127.0.0.1::443)
    host "$CLUSTER-$name" "${CLUSTER_HOSTS[$name]}" "$CLUSTER" --ip "198.18.11.$(cluster_number "$name")" "${options[@]}"
  done
  mkdir -p "$CLUSTER_INVENTORY"
  cat >"$CLUSTER_INVENTORY/hosts.yml" <<INVENTORY
# Written by script/demo cluster: the hosts of inventories/cluster, by the ports of this machine that lead to them.
load_balancers:
  hosts:
$(cluster_lines lb1 lb2)
app_servers:
  hosts:
$(cluster_lines app1 app2 app3)
  vars:
    gunicorn_bind: "{{ private_address }}:8000"
redis_servers:
  hosts:
$(cluster_lines redis1)
  vars:
    redis_bind: "{{ private_address }}:6379"
all:
  vars:
    ansible_host: 127.0.0.1
$(ssh_variables '    ')
    app_name: shop
    app_domains: [$CLUSTER_DOMAIN]
    app_source: {folder: $CLUSTER_SOURCE}
    app_environment: {APP_RATE_LIMIT_ANONYMOUS: "1000000"}
    app_receipt: false   # the demo has clients of its own
    nginx_rate_limit_mode: disabled
    redis_password: a-password-for-a-demo
INVENTORY
}

cluster_number() {
  case $1 in
    lb*) echo "1${1#lb}" ;;
    app*) echo "2${1#app}" ;;
    *) echo 31 ;;
  esac
}

cluster_lines() {
  local name
  for name in "$@"; do
    echo "    $name: {ansible_port: $(ssh_port "$CLUSTER-$name"), private_address: 198.18.11.$(cluster_number "$name")}"
  done
}

# cluster_source NAME [LINE]: the sample as a release of this name, with a line of its own.
cluster_source() {
  rm -rf "$CLUSTER_SOURCE"
  cp -r roles/app/files/shop "$CLUSTER_SOURCE"
  rm -rf "$CLUSTER_SOURCE/tests"
  printf '\n# Release %s of the demo.\n%s\n' "$1" "${2:-}" >>"$CLUSTER_SOURCE/shop/main.py"
}

cluster_play() { .venv/bin/ansible-playbook --inventory "$CLUSTER_INVENTORY" "$@"; }

cluster_bad_deploy() {
  if cluster_play playbooks/deploy.yml; then
    fail "The bad release was deployed."
  fi
  say "As it should be: the bad release was refused, and the one before serves on"
}

cluster_load_start() {
  : >"$CACHE/demo-cluster-marks.txt"
  rm -f "$CACHE/demo-cluster-report.txt"
  mapfile -t ports < <(for name in lb1 lb2; do docker port "$CLUSTER-$name" 443/tcp | sed -n 's/.*://p' | head -n 1; done)
  exec {LOAD}> >(exec python3 script/demo_load.py "$CACHE/demo-cluster-marks.txt" "$CACHE/demo-cluster-report.txt" "$CLUSTER_DOMAIN" "${ports[@]}")
  LOAD_PID=$!
}

cluster_load_stop() {
  exec {LOAD}>&-
  wait "$LOAD_PID"
  [[ -f $CACHE/demo-cluster-report.txt ]] || fail "The clients ended without a report."
}

cluster_mark() { echo "$EPOCHREALTIME $1" >>"$CACHE/demo-cluster-marks.txt"; }

# A host that starts again has another port for SSH, so the inventory is written again.
cluster_start() {
  docker start "$CLUSTER-$1" >/dev/null
  cluster_hosts
  docker exec "$CLUSTER-$1" systemctl is-system-running --wait >/dev/null || true
}

cluster_cut() { docker kill "$CLUSTER-$1" >/dev/null; }

cluster_restart() {
  docker kill --signal SIGRTMIN+3 "$CLUSTER-$1" >/dev/null   # which systemd takes for a shutdown
  docker wait "$CLUSTER-$1" >/dev/null
  cluster_start "$1"
}
