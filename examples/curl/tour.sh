#!/bin/bash
# The README's tour against a running host; stops at the first unexpected answer. Needs curl and jq.
#   BASE           the host                        http://127.0.0.1:8080
#   ZOTIFY_USER    who signs in                    admin
#   PASSWORD_FILE  the file with the password      data/admin-password
#   QUERY          a word of some track's title    sweep (a track of the demo library)
# shellcheck disable=SC2016  # $uri in single quotes is jq's
set -euo pipefail
for tool in curl jq; do command -v "$tool" >/dev/null || { echo "missing: $tool" >&2; exit 2; }; done

base=${BASE:-http://127.0.0.1:8080}
base=${base%/}
username=${ZOTIFY_USER:-admin}
password_file=${PASSWORD_FILE:-data/admin-password}
query=${QUERY:-sweep}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
token=

fail() {
  echo "FAILED: $1" >&2
  [ ! -s "$scratch/body" ] || head -c 2000 "$scratch/body" >&2
  exit 1
}

# request STATUS PATH [curl options]: leaves the answer in $scratch/body and $scratch/head.
request() {
  local wanted=$1 path=$2 status
  shift 2
  status=$(curl -sS -o "$scratch/body" -D "$scratch/head" -w '%{http_code}' ${token:+-H "Authorization: Bearer $token"} \
    "$@" "$base$path") || fail "$path: no answer"
  [ "$status" = "$wanted" ] || fail "$path answered $status instead of $wanted"
}

# holds FILTER WHAT [jq options]: the last answer's JSON must satisfy the filter.
holds() {
  local filter=$1 what=$2
  shift 2
  jq -e "$@" "$filter" "$scratch/body" >/dev/null || fail "$what"
  echo "ok: $what"
}

answer() { jq -r "$1" "$scratch/body"; }
header() { tr -d '\r' <"$scratch/head" | sed -n "s/^$1: //Ip" | tail -1; }

request 200 /health/ready
holds . "the host is ready"
request 401 /api/providers
holds '.code == "missing_credentials"' "without a token nothing is told"

[ -r "$password_file" ] || fail "$password_file cannot be read; it is deleted at the first sign-in: set ZOTIFY_USER and PASSWORD_FILE"
tr -d '\n' <"$password_file" >"$scratch/password"
request 200 /api/auth/login --data-urlencode "username=$username" --data-urlencode "password@$scratch/password"
holds '.token_type == "bearer"' "$username signs in"
token=$(answer .access_token)
request 200 /api/auth/status
holds . "the token is accepted"

request 200 /api/providers
holds 'any(.data[]; .state == "started" or .state == "loading")' "a provider is there: $(answer '[.data[].id] | join(", ")')"

# The first scan runs in the background.
for ((second = 0; ; second++)); do
  request 200 "/api/jobs?kind=library.pull"
  if jq -e 'any(.data[]; .state == "succeeded")' "$scratch/body" >/dev/null; then break; fi
  [ "$second" -lt 60 ] || fail "the library was not read within a minute"
  sleep 1
done
holds . "the library was read"

request 200 "/api/library/tracks?limit=5"
holds '.data | length > 0' "tracks: $(answer '[.data[].title] | join(", ")')"
request 200 /api/search --get --data-urlencode "q=$query" --data-urlencode kinds=track
holds '.data | length > 0' "a search for $query finds $(answer '.data[0].title')"
track=$(answer '.data[0].uri')
request 200 "/api/tracks/$track"
holds '.uri == $uri and .duration_ms > 0' "the track by its URI: $track" --arg uri "$track"
album=$(answer '.album.uri // empty')
artwork=$(answer '.artwork[0].url // empty')

if [ "$album" ]; then
  request 200 "/api/albums/$album/tracks"
  holds 'any(.data[]; .uri == $uri)' "its album holds it" --arg uri "$track"
fi
if [ "$artwork" ]; then
  request 200 "$artwork"
  [[ $(header content-type) == image/* ]] || fail "the picture is $(header content-type)"
  echo "ok: its picture, $(wc -c <"$scratch/body") bytes of $(header content-type)"
fi

media=/api/tracks/$track/media
request 200 "$media"
cp "$scratch/body" "$scratch/whole"
size=$(wc -c <"$scratch/whole")
etag=$(header etag)
request 206 "$media" -H "Range: bytes=100-299"
[ "$(header content-range)" = "bytes 100-299/$size" ] || fail "Content-Range is $(header content-range)"
cmp -s "$scratch/body" <(tail -c +101 "$scratch/whole" | head -c 200) || fail "the range holds other bytes than the whole"
echo "ok: its audio, $size bytes, and a range of it"
request 304 "$media" -H "If-None-Match: $etag"
echo "ok: unchanged audio is not sent again"
request 200 "/api/tracks/$track/media-url" -X POST
link=$(answer .url)
link=${link#"$base"}
saved=$token token=
request 206 "$link" -H "Range: bytes=0-9"
token=$saved
echo "ok: a signed link plays without a token"

request 200 /api/playlists
playlist=$(answer '.data[0].uri // empty')
if [ "$playlist" ]; then
  holds . "a playlist: $(answer '.data[0].name')"
  request 200 "/api/playlists/$playlist/items"
  holds '.data | length > 0' "its items: $(answer '[.data[].item.title] | join(", ")')"
  request 200 "/api/playlists/$playlist/export?format=m3u8"
  [ "$(head -1 "$scratch/body" | tr -d '\r')" = "#EXTM3U" ] || fail "the export is no M3U"
  echo "ok: it is exported as m3u8"
fi
echo "The tour is complete."
