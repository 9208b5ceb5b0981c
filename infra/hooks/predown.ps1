# Before azd down, on Windows: what predown.sh does elsewhere.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false

foreach ($scope in ($env:GATEWAY_ROLES_ELSEWHERE -split ' ' | Where-Object { $_ })) {
    if (-not $env:GATEWAY_IDENTITY_PRINCIPAL_ID) { throw 'predown: run this through azd (azd hooks run predown)' }
    $assignments = az role assignment list --scope $scope `
        --query "[?principalId=='$env:GATEWAY_IDENTITY_PRINCIPAL_ID'].id" --output tsv
    if ($LASTEXITCODE -ne 0) { throw "predown: the roles on $scope could not be listed" }
    foreach ($assignment in $assignments) {
        az role assignment delete --ids $assignment --output none
        if ($LASTEXITCODE -ne 0) { throw "predown: $assignment could not be deleted" }
        Write-Host "Removed the gateway's role on $scope"
    }
}
exit 0
