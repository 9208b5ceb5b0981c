# After azd provision, on Windows: what postprovision.sh does elsewhere.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false

foreach ($name in 'AZURE_SUBSCRIPTION_ID', 'AZURE_RESOURCE_GROUP', 'AZURE_FUNCTION_NAME', 'AZURE_KEY_VAULT_NAME',
    'GATEWAY_KEY_HASH_SECRET_NAME', 'GATEWAY_ALL_ACCESS_KEY_NAME') {
    if (-not [Environment]::GetEnvironmentVariable($name)) {
        throw "postprovision: $name is not set: run this through azd (azd hooks run postprovision)"
    }
}
$attempts = if ($env:HOOK_ATTEMPTS) { [int]$env:HOOK_ATTEMPTS } else { 30 }
$pause = if ($env:HOOK_PAUSE_SECONDS) { [int]$env:HOOK_PAUSE_SECONDS } else { 10 }

# 'present' or 'absent'; anything else ends the hook. A role that was just assigned takes minutes to be seen.
function Get-SecretState([string]$secret) {
    for ($tried = 1; ; $tried++) {
        $told = az keyvault secret show --subscription $env:AZURE_SUBSCRIPTION_ID --vault-name $env:AZURE_KEY_VAULT_NAME `
            --name $secret --query id --output none 2>&1 | Out-String
        if ($LASTEXITCODE -eq 0) { return 'present' }
        if ($told -match 'SecretNotFound') { return 'absent' }
        if ($told -match 'ForbiddenByRbac' -and $tried -lt $attempts) {
            Start-Sleep -Seconds $pause
            continue
        }
        if ($told -match 'ForbiddenByConnection|ForbiddenByFirewall|ublic network access is disabled') {
            throw "postprovision: Key Vault $env:AZURE_KEY_VAULT_NAME is not reachable from here: set ALLOWED_IP_ADDRESS (azd env set) and provision again, or run 'azd hooks run postprovision' inside the network`n$told"
        }
        throw "postprovision: $told"
    }
}

$made = $false
foreach ($secret in $env:GATEWAY_KEY_HASH_SECRET_NAME, $env:GATEWAY_ALL_ACCESS_KEY_NAME) {
    if ((Get-SecretState $secret) -eq 'present') {
        Write-Host "Key Vault $env:AZURE_KEY_VAULT_NAME has $secret already; it stays as it is."
        continue
    }
    $bytes = [byte[]]::new(32)
    $random = [Security.Cryptography.RandomNumberGenerator]::Create()
    $random.GetBytes($bytes)
    $random.Dispose()
    # Through a file in the user's own temporary folder: arguments can be seen in the list of processes.
    $file = New-TemporaryFile
    try {
        [IO.File]::WriteAllText($file.FullName, [BitConverter]::ToString($bytes).Replace('-', '').ToLowerInvariant())
        az keyvault secret set --subscription $env:AZURE_SUBSCRIPTION_ID --vault-name $env:AZURE_KEY_VAULT_NAME `
            --name $secret --file $file.FullName --encoding utf-8 --output none
        if ($LASTEXITCODE -ne 0) { throw "postprovision: $secret could not be written" }
    }
    finally {
        Remove-Item $file.FullName -Force
    }
    Write-Host "Key Vault $env:AZURE_KEY_VAULT_NAME`: $secret made."
    $made = $true
}
if (-not $made) { exit 0 }

# The app was created before its secrets, so what its settings refer to is looked up again.
$app = "/subscriptions/$env:AZURE_SUBSCRIPTION_ID/resourceGroups/$env:AZURE_RESOURCE_GROUP/providers/Microsoft.Web/sites/$env:AZURE_FUNCTION_NAME"
az rest --method post --output none --url "$app/config/configreferences/appsettings/refresh?api-version=2022-03-01"
if ($LASTEXITCODE -ne 0) {
    Write-Warning "postprovision: the app's Key Vault references could not be refreshed now; its deployment does it, and postdeploy checks"
}
exit 0
