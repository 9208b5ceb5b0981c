#!/bin/sh
# After azd provision: makes the gateway's two secrets in Key Vault where they are missing. One that is there stays as it
# is: a new key-hash secret would turn every subscription key that was given out into a wrong one.
set -eu

for name in AZURE_SUBSCRIPTION_ID AZURE_RESOURCE_GROUP AZURE_FUNCTION_NAME AZURE_KEY_VAULT_NAME \
    GATEWAY_KEY_HASH_SECRET_NAME GATEWAY_ALL_ACCESS_KEY_NAME; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || { echo "postprovision: $name is not set: run this through azd (azd hooks run postprovision)" >&2; exit 1; }
done
command -v az >/dev/null || { echo "postprovision: Azure CLI (az) is needed: https://aka.ms/azure-cli" >&2; exit 1; }

attempts=${HOOK_ATTEMPTS:-30}
pause=${HOOK_PAUSE_SECONDS:-10}
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# present, absent; anything else ends the hook. A role that was just assigned takes minutes to be seen.
secret_state() {
    tried=0
    while :; do
        if az keyvault secret show --subscription "$AZURE_SUBSCRIPTION_ID" --vault-name "$AZURE_KEY_VAULT_NAME" \
            --name "$1" --query id --output none 2>"$work/error"; then
            echo present
            return
        fi
        tried=$((tried + 1))
        case $(cat "$work/error") in
            *SecretNotFound*)
                echo absent
                return
                ;;
            *ForbiddenByRbac*)
                if [ "$tried" -lt "$attempts" ]; then
                    sleep "$pause"
                    continue
                fi
                echo "postprovision: this login may not read secrets of $AZURE_KEY_VAULT_NAME; the role Key Vault Secrets Officer went to AZURE_PRINCIPAL_ID" >&2
                ;;
            *ForbiddenByConnection* | *ForbiddenByFirewall* | *"ublic network access is disabled"*)
                echo "postprovision: Key Vault $AZURE_KEY_VAULT_NAME is not reachable from here: set ALLOWED_IP_ADDRESS (azd env set) and provision again, or run 'azd hooks run postprovision' inside the network" >&2
                ;;
        esac
        cat "$work/error" >&2
        exit 1
    done
}

made=
for secret in "$GATEWAY_KEY_HASH_SECRET_NAME" "$GATEWAY_ALL_ACCESS_KEY_NAME"; do
    state=$(secret_state "$secret")
    if [ "$state" = present ]; then
        echo "Key Vault $AZURE_KEY_VAULT_NAME has $secret already; it stays as it is."
        continue
    fi
    # Through a file only this user can read: arguments can be seen in the list of processes.
    od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n' >"$work/value"
    [ "$(wc -c <"$work/value")" -eq 64 ] || { echo "postprovision: no random bytes could be read" >&2; exit 1; }
    az keyvault secret set --subscription "$AZURE_SUBSCRIPTION_ID" --vault-name "$AZURE_KEY_VAULT_NAME" --name "$secret" \
        --file "$work/value" --encoding utf-8 --output none
    rm -f "$work/value"
    echo "Key Vault $AZURE_KEY_VAULT_NAME: $secret made."
    made=yes
done
[ -n "$made" ] || exit 0

# The app was created before its secrets, so what its settings refer to is looked up again.
app=/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/$AZURE_RESOURCE_GROUP/providers/Microsoft.Web/sites/$AZURE_FUNCTION_NAME
if ! az rest --method post --output none \
    --url "$app/config/configreferences/appsettings/refresh?api-version=2022-03-01"; then
    echo "postprovision: the app's Key Vault references could not be refreshed now; its deployment does it, and postdeploy checks" >&2
fi
