#!/bin/sh
# After azd deploy: checks that the gateway answers, makes the first subscription and shows how to call a model with it.
set -eu
cd "$(dirname "$0")/../.."

for name in AZURE_SUBSCRIPTION_ID AZURE_KEY_VAULT_NAME GATEWAY_KEY_HASH_SECRET_NAME GATEWAY_TABLES_ENDPOINT GATEWAY_URL; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || { echo "postdeploy: $name is not set: run this through azd (azd hooks run postdeploy)" >&2; exit 1; }
done

attempts=${HOOK_ATTEMPTS:-30}
pause=${HOOK_PAUSE_SECONDS:-10}
deployment=${AZURE_OPENAI_CHAT_DEPLOYMENT:-}
path="/aoai/openai/deployments/${deployment:-<deployment>}/chat/completions?api-version=2024-10-21"
subscription=first
scope=${FIRST_SUBSCRIPTION_SCOPE:-product:unlimited}
umask 077
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
trap 'exit 1' HUP INT TERM

# Without a key the gateway says 401, or 404 in its own words where gateway.yaml has no such API. While its settings or
# its configuration are not right it says 503; the host alone says 404 with an empty body.
tried=0
while :; do
    answer=$(curl --silent --max-time 60 --write-out ' status=%{http_code}' \
        --header 'content-type: application/json' --data '{"messages": []}' \
        "$GATEWAY_URL/aoai/openai/deployments/none/chat/completions?api-version=2024-10-21" || true)
    case $answer in
        *status=401 | *'"statusCode"'*status=404) break ;;
    esac
    tried=$((tried + 1))
    if [ "$tried" -ge "$attempts" ]; then
        echo "postdeploy: $GATEWAY_URL gives ${answer##* } to a call without a key, 401 is right; the app's log tells why" >&2
        exit 1
    fi
    sleep "$pause"
done
echo "The gateway answers at $GATEWAY_URL"

# The output of a pipeline is kept and read by many: no key goes there.
if [ -n "${CI:-}${TF_BUILD:-}${GITHUB_ACTIONS:-}" ]; then
    echo "No subscription is made in a pipeline; 'azd hooks run postdeploy' on a developer's machine makes the first one."
    exit 0
fi

python=${GATEWAY_PYTHON:-.venv/bin/python}
if [ -z "${GATEWAY_PYTHON:-}" ]; then
    if command -v make >/dev/null; then
        make --no-print-directory .venv/run.stamp
    elif [ ! -x "$python" ]; then
        "$(sh tests/support/find-python.sh 3.11)" -m venv .venv
        "$python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    fi
fi

GATEWAY_KEY_HASH_SECRET=$(az keyvault secret show --subscription "$AZURE_SUBSCRIPTION_ID" \
    --vault-name "$AZURE_KEY_VAULT_NAME" --name "$GATEWAY_KEY_HASH_SECRET_NAME" --query value --output tsv)
[ -n "$GATEWAY_KEY_HASH_SECRET" ] || { echo "postdeploy: Key Vault gave an empty key-hash secret" >&2; exit 1; }

# The deployment's own settings and nothing that points the gateway's commands to local storage.
subscriptions() {
    env -u GATEWAY_TABLES_CONNECTION_STRING -u GATEWAY_ALL_ACCESS_KEY \
        GATEWAY_KEY_HASH_SECRET="$GATEWAY_KEY_HASH_SECRET" GATEWAY_TABLES_ENDPOINT="$GATEWAY_TABLES_ENDPOINT" \
        "$python" -m shared subscriptions "$@"
}

# Exit status 3 is storage that refuses or does not answer: a role that was just assigned takes minutes to be seen.
tried=0
while :; do
    result=0
    created=$(subscriptions create "$subscription" --scope "$scope" --json 2>"$errors") || result=$?
    [ "$result" -eq 3 ] || break
    tried=$((tried + 1))
    if [ "$tried" -ge "$attempts" ]; then
        cat "$errors" >&2
        echo "postdeploy: no subscription could be made. With vnetEnabled set ALLOWED_IP_ADDRESS, or run 'azd hooks run postdeploy' inside the network" >&2
        exit 1
    fi
    sleep "$pause"
done

if [ "$result" -eq 0 ]; then
    key=$(printf '%s' "$created" | "$python" -c 'import json, sys; print(json.load(sys.stdin)["primary_key"])')
    echo "Subscription $subscription is made. Its primary key is shown now and never again: $key"
elif [ "$result" -eq 1 ] && subscriptions show "$subscription" >/dev/null 2>&1; then
    key="<key of subscription $subscription>"
    echo "Subscription $subscription is there already; a lost key is replaced with: python -m shared subscriptions rotate $subscription primary"
else
    cat "$errors" >&2
    exit 1
fi

echo
echo "curl '$GATEWAY_URL$path' \\"
echo "  -H 'api-key: $key' -H 'content-type: application/json' \\"
echo "  -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'"
