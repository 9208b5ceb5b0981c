#!/bin/sh
# Before azd down: takes back the gateway's roles on resources of other groups; deleting the group would leave them.
set -eu

for scope in ${GATEWAY_ROLES_ELSEWHERE:-}; do
    : "${GATEWAY_IDENTITY_PRINCIPAL_ID:?predown: run this through azd (azd hooks run predown)}"
    # A variable of its own: in the list of a `for` a failure of az would go unseen.
    assignments=$(az role assignment list --scope "$scope" \
        --query "[?principalId=='$GATEWAY_IDENTITY_PRINCIPAL_ID'].id" --output tsv)
    for assignment in $assignments; do
        az role assignment delete --ids "$assignment" --output none
        echo "Removed the gateway's role on $scope"
    done
done
