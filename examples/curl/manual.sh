#!/bin/bash
# Runs the examples of the manual's pages on accounts as they stand there, in order, and checks what they did:
#   examples/spotify-simulator/run-demo HOST SIMULATOR examples/curl/manual.sh
# It sees BASE, SIMULATOR, ZOTIFY_USER and PASSWORD_FILE. Stops at the first example that fails. Needs curl and jq.
set -euo pipefail
manual=$(cd "$(dirname "$0")/../../docs/manual" && pwd -P)
scratch=$(mktemp -d)
running=
stop() {
  if [ "$running" ]; then echo "FAILED: $running: $(cat "$scratch/said")" >&2; fi
  rm -rf "$scratch"
}
trap stop EXIT
cd "$scratch"

fail() { echo "FAILED: $1" >&2; exit 1; }

# In the examples a refusal is text to read; here it is an error.
curl() { command curl --fail-with-body "$@"; }

# blocks PAGE: how many examples it has.
blocks() { grep -c '^```sh$' "$manual/$1"; }

# block PAGE NUMBER: the example as it stands there.
block() { awk -v wanted="$2" '/^```sh$/ { n++; inside = n == wanted; next } /^```$/ { inside = 0 } inside' "$manual/$1"; }

# example PAGE NUMBER WORDS: runs an example that has to hold these words, with this host's names for those of the page.
example() {
  local text
  text=$(block "$1" "$2" | sed -e "s|http://127.0.0.1:8080/api/auth/spotify/callback?code=…&state=…|${back-}|" \
    -e "s|http://127.0.0.1:8080|$BASE|" -e "s|username=admin|username=$ZOTIFY_USER|")
  [[ $text == *"$3"* ]] || fail "example $2 of $1 is not about $3: tell this script what it is about"
  running="example $2 of $1"
  # Not as part of a condition, where the first of its commands that fails would not end it.
  eval "$text" >"$scratch/said"
  running=
  echo "ok: $1: $3"
}

# holds WHAT FILTER: what the host says of the account.
holds() { api "$B/api/accounts/$ACCOUNT" | jq -e "$2" >/dev/null || fail "$1"; }

PASSWORD=$(cat "$PASSWORD_FILE")
example first-start.md 4 'api() {'

[ "$(blocks accounts.md)" = 6 ] || fail "accounts.md has another number of examples: tell this script what they are about"
example accounts.md 1 /api/accounts/flows
page=$(jq -er 'select(.step.type == "external").step.url' flow.json) || fail "the flow has no page of the service"
# What a person does in a browser.
back=$(curl -s -o /dev/null -w '%{redirect_url}' -d "${page#*\?}" --data-urlencode "user=ünï user#2" -d answer=agree "$SIMULATOR/authorize")
[[ $back == *code=* ]] || fail "the service did not agree: $back"
back=${back//&/\\&}
example accounts.md 2 '"url"'
jq -e '.state == "done"' said >/dev/null || fail "not connected: $(cat said)"
connected=$(jq -r .step.account said)
example accounts.md 3 'ACCOUNT='
[ "$ACCOUNT" = "$connected" ] || fail "ACCOUNT is not the account that was connected last"
holds "it works" '.state == "ok" and .checked_at'
example connect-spotify.md 1 sign_in_again_by
jq -se 'any(.[]; .label == "Listener 2" and .sign_in_again_by)' said >/dev/null || fail "the day is not there: $(cat said)"
example accounts.md 4 pull_every_s
holds "its name and times are changed" '.label == "Mine" and .pull_every_s == 86400'
example accounts.md 5 default_accounts
api "$B/api/user/preferences" | jq -e --arg id "$ACCOUNT" '.default_accounts.spotify == $id' >/dev/null ||
  fail "the account is not the preferred one"
example accounts.md 6 DELETE
status=$(command curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "$B/api/accounts/$ACCOUNT")
[ "$status" = 404 ] || fail "the account is still there: $status"
echo "The manual's examples are right."
