#!/bin/sh
# The whole life of a user and of an API key against a running host; stops at the first unexpected answer. Needs curl and jq.
#   BASE           the host                           http://127.0.0.1:8080
#   ZOTIFY_USER    an admin's name                    admin
#   PASSWORD_FILE  the file with the admin's password data/admin-password
# The host must take new users: auth.registration is `invite` or `open`.
# shellcheck disable=SC2016  # $name in single quotes is jq's
set -eu
for tool in curl jq; do command -v "$tool" >/dev/null || { echo "missing: $tool" >&2; exit 2; }; done

base=${BASE:-http://127.0.0.1:8080}
base=${base%/}
admin_name=${ZOTIFY_USER:-admin}
# The file is gone after the first sign-in.
admin_password=$(cat "${PASSWORD_FILE:-data/admin-password}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
user_name=visitor-$$-$(date +%s)
password=$(head -c 18 /dev/urandom | base64)
new_password=$(head -c 18 /dev/urandom | base64)

fail() {
  echo "FAILED: $1" >&2
  # Answers may hold secrets: only a problem is shown.
  jq -r 'select(.code) | "\(.status) \(.code): \(.detail)"' "$scratch/body" >&2 2>/dev/null || true
  exit 1
}

# Secrets are written to a file that curl reads, where the list of processes does not show them.
as_token() { printf 'header = "Authorization: Bearer %s"\n' "$1" >"$scratch/credential"; }
as_key() { printf 'header = "X-API-Key: %s"\n' "$1" >"$scratch/credential"; }
as_nobody() { : >"$scratch/credential"; }

# request STATUS METHOD PATH [JSON]: leaves the answer in $scratch/body.
request() {
  wanted=$1 method=$2 path=$3 body=${4-}
  printf '%s' "$body" >"$scratch/request"
  status=$(curl -sS -o "$scratch/body" -w '%{http_code}' -K "$scratch/credential" -X "$method" \
    ${body:+-H "Content-Type: application/json" --data-binary "@$scratch/request"} "$base$path") || fail "$path: no answer"
  [ "$status" = "$wanted" ] || fail "$method $path answered $status instead of $wanted"
}

# refused STATUS CODE METHOD PATH [JSON]: the request must fail with this problem.
refused() {
  problem=$2
  request "$1" "$3" "$4" "${5-}"
  jq -e --arg code "$problem" '.code == $code' "$scratch/body" >/dev/null || fail "$4 is no $problem"
}

# holds WHAT FILTER [jq options]: the last answer's JSON must satisfy the filter.
holds() {
  what=$1 filter=$2
  shift 2
  jq -e "$@" "$filter" "$scratch/body" >/dev/null || fail "$what"
  echo "ok: $what"
}

step() { echo "ok: $1"; }
answer() { jq -r "$1" "$scratch/body"; }
credentials() { jq -n --arg username "$1" --arg password "$2" '{$username, $password}'; }

# sign_in NAME PASSWORD: leaves the access token in $token.
sign_in() {
  as_nobody
  request 200 POST /api/auth/login "$(credentials "$1" "$2")"
  token=$(answer .access_token)
}

# An admin invites.
sign_in "$admin_name" "$admin_password"
admin_token=$token
step "$admin_name signs in"
as_token "$admin_token"
request 201 POST /api/admin/invites '{"note": "a visitor", "expires_in_s": 3600}'
invite=$(answer .code)
step "an invitation is made"

# The visitor registers, once.
as_nobody
registration=$(credentials "$user_name" "$password" | jq --arg invite "$invite" '. + {$invite}')
request 201 POST /api/auth/register "$registration"
holds "$user_name registers with it" '.name == $name' --arg name "$user_name"
user_id=$(answer .id)
another=$(credentials "somebody-else-$$" "$password" | jq --arg invite "$invite" '. + {$invite}')
refused 403 invite_used POST /api/auth/register "$another"
step "the invitation is good for one user"

# Sessions.
sign_in "$user_name" "$password"
first_token=$token
sign_in "$user_name" "$password"
as_token "$token"
request 200 GET /api/auth/status
holds "$user_name signs in twice" '.role == "user"'
session=$(answer .session_id)
request 200 GET /api/auth/sessions
holds "both sessions are listed" '.data | length == 2'
other=$(jq -r --arg id "$session" '.data[] | select(.id != $id) | .id' "$scratch/body")
request 204 DELETE "/api/auth/sessions/$other"
as_token "$first_token"
refused 401 session_revoked GET /api/auth/status
step "the other session is revoked"

# Preferences.
as_token "$token"
request 200 PATCH /api/user/preferences '{"theme": "dark", "notifications_enabled": false}'
request 200 GET /api/user/preferences
holds "preferences are kept" '.theme == "dark" and .notifications_enabled == false'

# A key: made, used, rotated with an overlap, revoked.
refused 403 scope_not_held POST /api/user/keys '{"name": "too much", "scopes": ["admin"]}'
request 201 POST /api/user/keys '{"name": "tour", "scopes": ["profile", "library:read"], "expires_in_s": 3600}'
holds "a key is made: $(answer .prefix)" '.state == "active"'
key=$(answer .key)
key_id=$(answer .id)
as_key "$key"
request 200 GET /api/auth/status
holds "the key works, with its scopes" '.scopes == ["profile", "library:read"] and .session_id == null'
refused 403 insufficient_scope GET /api/jobs
refused 403 session_required GET /api/user/keys
step "the key opens nothing else"
as_token "$token"
request 200 POST "/api/user/keys/$key_id/rotate" '{"overlap_s": 600}'
second_key=$(answer .key)
for one in "$key" "$second_key"; do
  as_key "$one"
  request 200 GET /api/auth/status
done
step "after a rotation both secrets work for a while"
as_token "$token"
request 200 POST "/api/user/keys/$key_id/rotate" '{"overlap_s": 0}'
third_key=$(answer .key)
for one in "$key" "$second_key"; do
  as_key "$one"
  refused 401 api_key_expired GET /api/auth/status
done
step "without an overlap the former ones end at once"
as_token "$token"
request 204 DELETE "/api/user/keys/$key_id"
as_key "$third_key"
refused 401 api_key_revoked GET /api/auth/status
step "a revoked key opens nothing"

# Another password ends the other sessions.
sign_in "$user_name" "$password"
first_token=$token
sign_in "$user_name" "$password"
change() { jq -n --arg current_password "$1" --arg new_password "$2" '{$current_password, $new_password}'; }
as_token "$token"
refused 403 wrong_password POST /api/auth/password "$(change "$new_password" "$password")"
request 200 POST /api/auth/password "$(change "$password" "$new_password")"
as_token "$first_token"
refused 401 session_revoked GET /api/auth/status
as_nobody
refused 401 invalid_credentials POST /api/auth/login "$(credentials "$user_name" "$password")"
sign_in "$user_name" "$new_password"
step "another password, and the other sessions have ended"

# Likes and history, where there is music.
as_token "$token"
request 200 GET "/api/library/tracks?limit=1"
track=$(answer '.data[0].uri // empty')
if [ "$track" ]; then
  request 200 PUT "/api/user/liked/$track"
  request 200 GET /api/user/liked
  holds "a track is liked: $track" 'any(.data[]; .uri == $uri)' --arg uri "$track"
  request 204 DELETE "/api/user/liked/$track"
  request 201 POST /api/user/history "$(jq -n --arg uri "$track" '{$uri, heard_ms: 1000}')"
  play=$(answer .id)
  request 200 GET /api/user/history
  holds "it was played" 'any(.data[]; .id == $id)' --arg id "$play"
  request 204 DELETE "/api/user/history/$play"
  request 200 GET /api/user/history
  holds "the play is forgotten" '.data == []'
else
  step "there is no music: no likes and no history"
fi

# Everything that is held about the visitor, and then nothing.
request 200 PUT /api/privacy/consents '{"recommendations": true}'
request 200 GET /api/privacy/data
holds "everything held about $user_name is one document" 'tostring | contains($name)' --arg name "$user_name"
if grep -q -F -e "$third_key" -e "$new_password" "$scratch/body"; then fail "the document holds secrets"; fi
request 202 DELETE /api/privacy/data
receipt=$(answer .receipt)
request 401 GET /api/auth/status
step "the erasure begins, and $user_name is out"
as_nobody
second=0
until request 200 GET "/api/privacy/receipts/$receipt" && jq -e '.state == "erased"' "$scratch/body" >/dev/null; do
  [ "$second" -lt 60 ] || fail "the erasure did not end within a minute"
  second=$((second + 1))
  sleep 1
done
step "the receipt says that it is done"

# What the admin sees of it.
as_token "$admin_token"
request 404 GET "/api/admin/users/$user_id"
request 200 GET "/api/admin/audit?limit=200"
holds "the admin sees what was done" \
  'def has($action): any(.data[]; .action == $action); has("api_key.revoked") and has("privacy.erased")'
holds "and nothing of who it was" 'tostring | contains($name) | not' --arg name "$user_name"
request 200 GET /api/admin/audit/verify
step "the audit log is whole"
echo "The walk is complete."
