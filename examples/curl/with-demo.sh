#!/bin/bash
# Starts a host on the demo library in a scratch folder, runs a command against it, and stops it again:
#   with-demo.sh target/release/zotify-host examples/curl/tour.sh
# The command sees BASE and PASSWORD_FILE.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 HOST COMMAND [ARGUMENT…]" >&2; exit 2; }
host=$1
shift
demo=$(cd "$(dirname "$0")/../demo-library" && pwd -P)
scratch=$(mktemp -d)
pid=
stop() {
  [ -z "$pid" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null || true
  rm -rf "$scratch"
}
trap stop EXIT

port=${PORT:-18080}
export BASE=http://127.0.0.1:$port PASSWORD_FILE=$scratch/data/admin-password
"$host" config init --music "$demo" "$scratch/zotify.toml" >/dev/null
ZOTIFY__SERVER__LISTEN=127.0.0.1:$port "$host" --config "$scratch/zotify.toml" serve >"$scratch/log" 2>&1 &
pid=$!
for ((tenth = 0; ; tenth++)); do
  if curl -sf -o /dev/null "$BASE/health/ready"; then break; fi
  if ! kill -0 "$pid" 2>/dev/null || [ "$tenth" -ge 300 ]; then
    echo "the host did not start:" >&2
    tail -50 "$scratch/log" >&2
    exit 1
  fi
  sleep 0.1
done
"$@" || { echo "the host's log ends with:" >&2; tail -50 "$scratch/log" >&2; exit 1; }
