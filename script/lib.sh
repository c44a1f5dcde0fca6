# Sourced by the commands in this folder: where things are, how they speak, and the steps that several of them need.
# shellcheck shell=bash
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=$ROOT/.cache
IMAGE=production-fastapi/host
PREFIX=production-fastapi
PACKAGES=systemd,systemd-sysv,dbus,python3,ca-certificates,iproute2,procps,sudo,openssh-server
# What an image `-ready` has besides: the packages that the roles install, and those that tests need on hosts.
READY='python3-apt python3-pip-whl nginx openssl logrotate redis-server keepalived certbot git python3-venv curl'
NO_CLUSTER=/etc/postgresql-common/createcluster.d/production-fastapi.conf
declare -A RELEASES=([debian12]=bookworm [debian13]=trixie)

mkdir -p "$CACHE"
cd "$ROOT"
# A playbook starts a process for each task and host: none of them should compile again what the one before had compiled.
unset PYTHONDONTWRITEBYTECODE

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

fail() {
  printf '\033[1;31mFailed:\033[0m %s\n' "$*" >&2
  exit 1
}

# quietly LOG COMMAND…: run it, and show what it printed only when it fails.
quietly() {
  local log=$CACHE/$1.log
  shift
  "$@" >"$log" 2>&1 || {
    tail -n 25 "$log" >&2
    fail "'$*' ended with an error; all it printed is in ${log#"$ROOT"/}."
  }
}

# Debian keeps the programs of a PostgreSQL server out of the PATH, in a folder for each version.
find_postgres() {
  local folder
  for folder in /usr/lib/postgresql/*/bin; do [[ ! -d $folder ]] || PATH=$PATH:$folder; done
}
find_postgres

may_install() { [[ $EUID == 0 ]] && command -v apt-get >/dev/null; }

# needs PROGRAM:PACKAGE…: make sure that programs are there, from Debian's packages where root may install them.
needs() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  may_install || fail "Install these packages, or run this as root on Debian: ${missing[*]}."
  say "Installing ${missing[*]}"
  quietly apt-update apt-get update
  # Each PostgreSQL of ours runs in a folder of its own, so the package makes none of the system.
  [[ " ${missing[*]} " != *" postgresql "* ]] || { mkdir -p "$(dirname "$NO_CLUSTER")" && echo 'create_main_cluster = false' >"$NO_CLUSTER"; }
  DEBIAN_FRONTEND=noninteractive quietly apt-install apt-get install --yes --no-install-recommends "${missing[@]}"
  rm -f "$NO_CLUSTER"
  find_postgres
}

# virtualenv FOLDER: make it again, with the first Python that is new enough.
virtualenv() {
  local python
  # The distribution's own is built with optimisations that a version manager's often lacks: a fifth less time for all that follows.
  for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11 ''; do
    [[ -n $python ]] || fail "Python 3.11 or newer is needed: install the packages python3 and python3-venv."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
  done
  "$python" -c 'import ensurepip' 2>/dev/null || needs ensurepip:python3-venv
  say "Making ${1#"$ROOT"/} with $("$python" --version)"
  "$python" -m venv --clear "$1"
}

# Make .venv with exactly the locked tools, unless it has them already.
tools() {
  local lock=$ROOT/script/requirements.txt stamp
  stamp=$(sha256sum "$lock" | cut -c1-64)
  [[ $(cat .venv/stamp 2>/dev/null) == "$stamp" ]] && return
  virtualenv .venv
  say "Installing the tools into .venv"
  quietly pip-uv .venv/bin/pip install --disable-pip-version-check "uv==$(sed -n 's/^uv==\([^ ]*\).*/\1/p' "$lock")"
  quietly uv-tools .venv/bin/uv pip install --compile-bytecode --python .venv/bin/python --require-hashes --requirement "$lock"
  echo "$stamp" >.venv/stamp
}

# The environment that the sample service has in production, and what its tests need besides.
app_environment() { environment app-venv roles/app/files/shop/requirements-test.txt; }

# environment NAME LOCK…: make .cache/NAME with exactly what is locked, unless it has that already; each lock replaces versions
# of those before it.
environment() {
  local name=$1 folder=$CACHE/$1 lock
  shift
  cat "$@" | cmp --silent - "$folder/lock" && return
  .venv/bin/uv venv --quiet --clear "$folder"
  for lock in "$@"; do
    quietly "uv-$name" .venv/bin/uv pip install --compile-bytecode --python "$folder/bin/python" --no-deps --require-hashes --requirement "$lock"
  done
  cat "$@" >"$folder/lock"
}

# Make sure that a Docker engine answers. One that runs is left alone.
engine() {
  docker info >/dev/null 2>&1 && return
  [[ $EUID == 0 ]] || fail "No Docker engine answers 'docker info': start Docker, or run this as root on Debian to have it installed."
  needs dockerd:docker.io docker:docker-cli iptables:iptables
  say "Starting a Docker engine"
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker
  elif [[ $(stat --file-system --format %T /sys/fs/cgroup) == cgroup2fs ]]; then
    setsid dockerd </dev/null >"$CACHE/dockerd.log" 2>&1 &
  else
    # systemd in the hosts needs cgroup v2; the engine gets a view of its own where only v1 is mounted.
    setsid unshare --mount --propagation private bash -c '
      umount --recursive --lazy /sys/fs/cgroup
      mount --types cgroup2 cgroup2 /sys/fs/cgroup
      exec dockerd' </dev/null >"$CACHE/dockerd.log" 2>&1 &
  fi
  for _ in {1..60}; do
    docker info >/dev/null 2>&1 && return
    sleep 0.5
  done
  tail -n 15 "$CACHE/dockerd.log" >&2
  fail "The Docker engine did not start within 30 seconds; its log is in .cache/dockerd.log."
}

# image TAG: build an image of a test host (see script/image), unless it is there and made by the present recipe.
image() {
  local tag=$1 recipe
  recipe=$({ echo "$PACKAGES" && cat script/prepare-host /usr/local/share/ca-certificates/*.crt; } 2>/dev/null | sha256sum | cut -c1-16)
  [[ $tag != *-ready ]] || recipe=$({ echo "$recipe" && cat script/ready-host script/zip_bytecode.py && echo "$READY"; } | sha256sum | cut -c1-16)
  [[ $(docker image inspect --format '{{ index .Config.Labels "recipe" }}' "$IMAGE:$tag" 2>/dev/null) == "$recipe" ]] && return
  if [[ $tag == *-ready ]]; then
    image "${tag%-ready}"
    say "Building the image $tag: that of a bare host, and the packages that the roles install (a minute)"
    ready_image "$tag" "$recipe"
  else
    say "Building the image of a bare $tag host (half a minute)"
    bare_image "$tag" "$recipe"
  fi
}

bare_image() {
  local tag=$1 recipe=$2 suite=${RELEASES[$1]} context
  if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
    needs mmdebstrap:mmdebstrap
    quietly "image-$tag" mmdebstrap --variant=minbase --include="$PACKAGES" --customize-hook="script/prepare-host \"\$1\"" "$suite" "$CACHE/$tag.tar"
    quietly "import-$tag" docker import --change "LABEL recipe=$recipe" --change 'CMD ["/lib/systemd/systemd"]' "$CACHE/$tag.tar" "$IMAGE:$tag"
    rm -f "$CACHE/$tag.tar"
  else
    context=$(mktemp -d)
    mkdir "$context/ca"
    cp script/prepare-host "$context/"
    cp /usr/local/share/ca-certificates/*.crt "$context/ca/" 2>/dev/null || true
    printf '%s\n' "FROM debian:$suite-slim" "LABEL recipe=$recipe" \
      "RUN apt-get update && apt-get install --yes --no-install-recommends ${PACKAGES//,/ } && apt-get clean && rm -rf /var/lib/apt/lists/*" \
      "COPY . /build" "RUN CERTIFICATES=/build/ca /build/prepare-host / && rm -rf /build" 'CMD ["/lib/systemd/systemd"]' >"$context/Dockerfile"
    quietly "image-$tag" docker build --tag "$IMAGE:$tag" "$context"
    rm -rf "$context"
  fi
}

ready_image() {
  local tag=$1 recipe=$2 name=$PREFIX-image-$1
  docker rm --force "$name" >/dev/null 2>&1 || true
  # The network of this machine: that of a container may not let packets through that are as large.
  # shellcheck disable=SC2086
  quietly "image-$tag" docker run --interactive --name "$name" --network host "$IMAGE:${tag%-ready}" sh -s -- $READY <script/ready-host
  quietly "copy-$tag" docker cp script/zip_bytecode.py "$name:/usr/lib/python3/dist-packages/"
  quietly "commit-$tag" docker commit --change "LABEL recipe=$recipe" --change 'CMD ["/lib/systemd/systemd"]' "$name" "$IMAGE:$tag"
  docker rm "$name" >/dev/null
}

# host NAME TAG NETWORK [OPTION…]: start a bare host that accepts the project's SSH key, and wait for its sshd.
host() {
  needs ssh:openssh-client
  python3 script/hosts.py start "$1" "$2" "$3" --hostname "${1##*-}" --publish 127.0.0.1::22 "${@:4}"
}

# network NAME SUBNET: make a network for test hosts.
network() { python3 script/hosts.py network "$1" "$2"; }

# remove NAME-PREFIX: remove the containers (with their volumes) and networks whose name begins so.
remove() {
  local containers networks
  mapfile -t containers < <(docker container ls --all --quiet --filter "name=^$1")
  [[ ${#containers[@]} == 0 ]] || docker rm --force --volumes "${containers[@]}" >/dev/null
  mapfile -t networks < <(docker network ls --quiet --filter "name=^$1")
  [[ ${#networks[@]} == 0 ]] || docker network rm "${networks[@]}" >/dev/null
}

# ssh_variables INDENT: how Ansible logs in to a test host, as lines of an inventory.
ssh_variables() {
  sed "s/^/$1/" <<VARIABLES
ansible_user: root
ansible_ssh_private_key_file: $CACHE/ssh_key
ansible_ssh_common_args: -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
VARIABLES
}

# ssh_port NAME: where 127.0.0.1 reaches the sshd of a host.
ssh_port() { docker port "$1" 22/tcp | sed -n 's/.*://p' | head -n 1; }
