#!/usr/bin/env bash
# Requests by themselves, by oha: publishing, and reading the last event, of herald and, where it is
# installed, of nchan. Usage: benches/oha.sh [SECONDS]
#
# For the most that a server takes, each connection asks again as soon as it has its answer; the
# latencies of that tell of the queue, and only the rate counts. For latencies the requests come at
# a fixed rate, and are timed from when they were due, not from when a late answer let them go.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-10}
rate=2000
bytes=256

scratch=$(mktemp -d)
servers=()
cleanup() {
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$scratch"
}
trap cleanup EXIT

tools=${XDG_DATA_HOME:-$HOME/.local/share}/herald-bench
PATH=$tools/bin:$PATH
command -v oha >/dev/null || cargo install oha --locked --root "$tools"
cargo build --release --locked

head -c $bytes /dev/zero | tr '\0' x >"$scratch/data"
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
until_it_answers() {
    for _ in {1..100}; do
        curl -s -o "$scratch/answer" "$1" && return
        sleep 0.1
    done
    echo "nothing answers at $1" >&2
    exit 1
}

# -w lets the last requests end; who is cut off would be counted as failed.
measure() {
    local name=$1
    shift
    oha --no-tui --output-format json -c 64 -z "${seconds}s" -w "$@" >"$scratch/most"
    oha --no-tui --output-format json -c 64 -z "${seconds}s" -w -q $rate --latency-correction "$@" \
        >"$scratch/latency"
    jq -rs --arg name "$name" '
        def ms: . * 100000 | round / 100 | "\(.) ms";
        "| \($name) | \(.[0].summary.requestsPerSec | round) | \(.[1].latencyPercentiles.p50 | ms) | \(
            .[1].latencyPercentiles.p99 | ms) | \([.[] | .statusCodeDistribution | to_entries[]
            | select(.key | startswith("2") | not) | "\(.value) × \(.key)"]
            + [.[] | .errorDistribution | to_entries[] | "\(.value) × \(.key)"] | join(", ")) |"
    ' "$scratch/most" "$scratch/latency"
}

echo "| requests | most a second | p50 at $rate/s | p99 at $rate/s | failed |"
echo "|---|---:|---:|---:|---|"

port=$(free_port)
target=${CARGO_TARGET_DIR:-target}/release/herald
RUST_LOG=error "$target" --listen "127.0.0.1:$port" --admin off --drain 0s >"$scratch/herald" &
servers+=($!)
base=http://127.0.0.1:$port/events/bench
until_it_answers "$base?wait=0"
measure "herald: publish" -m POST -D "$scratch/data" "$base"
measure "herald: read the last event" "$base?wait=0&last=1"

PATH=$PATH:/usr/sbin
module=/usr/lib/nginx/modules/ngx_nchan_module.so
if ! command -v nginx >/dev/null || [[ ! -e $module ]]; then
    echo "nchan is not installed, and left out" >&2
    exit
fi
port=$(free_port)
user=
((UID)) || user="user root;"
for kind in body proxy fastcgi uwsgi scgi; do
    temporary+="${temporary:+ }${kind/body/client_body}_temp_path $scratch/$kind;"
done
cat >"$scratch/nginx.conf" <<EOF
load_module $module;
$user
daemon off;
worker_processes 2;
error_log stderr crit;
pid $scratch/pid;
events { worker_connections 1024; }
http {
    access_log off;
    $temporary
    keepalive_requests 1000000000;
    server {
        listen 127.0.0.1:$port;
        location = /pub {
            nchan_publisher;
            nchan_channel_id bench;
            nchan_message_buffer_length 1000;
        }
        location = /last {
            nchan_subscriber longpoll;
            nchan_channel_id bench;
            nchan_subscriber_first_message -1;
        }
    }
}
EOF
nginx -p "$scratch" -e stderr -c "$scratch/nginx.conf" &
servers+=($!)
base=http://127.0.0.1:$port
until_it_answers "$base/pub"
measure "nchan: publish" -m POST -D "$scratch/data" "$base/pub"
measure "nchan: read the last event" "$base/last"
