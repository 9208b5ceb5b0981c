# After azd deploy, on Windows: what postdeploy.sh does elsewhere.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false
Set-Location (Join-Path $PSScriptRoot '../..')

foreach ($name in 'AZURE_SUBSCRIPTION_ID', 'AZURE_KEY_VAULT_NAME', 'GATEWAY_KEY_HASH_SECRET_NAME',
    'GATEWAY_TABLES_ENDPOINT', 'GATEWAY_URL') {
    if (-not [Environment]::GetEnvironmentVariable($name)) {
        throw "postdeploy: $name is not set: run this through azd (azd hooks run postdeploy)"
    }
}
$attempts = if ($env:HOOK_ATTEMPTS) { [int]$env:HOOK_ATTEMPTS } else { 30 }
$pause = if ($env:HOOK_PAUSE_SECONDS) { [int]$env:HOOK_PAUSE_SECONDS } else { 10 }
$deployment = if ($env:AZURE_OPENAI_CHAT_DEPLOYMENT) { $env:AZURE_OPENAI_CHAT_DEPLOYMENT } else { '<deployment>' }
$path = "/aoai/openai/deployments/$deployment/chat/completions?api-version=2024-10-21"
$subscription = 'first'
$scope = if ($env:FIRST_SUBSCRIPTION_SCOPE) { $env:FIRST_SUBSCRIPTION_SCOPE } else { 'product:unlimited' }

# Without a key the gateway says 401, or 404 in its own words where gateway.yaml has no such API. While its settings or
# its configuration are not right it says 503; the host alone says 404 with an empty body.
for ($tried = 1; ; $tried++) {
    $status = 'nothing'
    try {
        $answer = Invoke-WebRequest -Method Post -SkipHttpErrorCheck -TimeoutSec 60 -ContentType 'application/json' `
            -Body '{"messages": []}' `
            -Uri "$env:GATEWAY_URL/aoai/openai/deployments/none/chat/completions?api-version=2024-10-21"
        $status = $answer.StatusCode
    }
    catch { $status = $_.Exception.Message }
    if ($status -eq 401 -or ($status -eq 404 -and "$($answer.Content)" -match '"statusCode"')) { break }
    if ($tried -ge $attempts) {
        throw "postdeploy: $env:GATEWAY_URL gives $status to a call without a key, 401 is right; the app's log tells why"
    }
    Start-Sleep -Seconds $pause
}
Write-Host "The gateway answers at $env:GATEWAY_URL"

# The output of a pipeline is kept and read by many: no key goes there.
if ($env:CI -or $env:TF_BUILD -or $env:GITHUB_ACTIONS) {
    Write-Host "No subscription is made in a pipeline; 'azd hooks run postdeploy' on a developer's machine makes the first one."
    exit 0
}

$python = if ($env:GATEWAY_PYTHON) { $env:GATEWAY_PYTHON } else { '.venv\Scripts\python.exe' }
if (-not $env:GATEWAY_PYTHON) {
    if (-not (Test-Path $python)) { py -3 -m venv .venv }
    & $python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    if ($LASTEXITCODE -ne 0) { throw 'postdeploy: the requirements could not be installed' }
}

$env:GATEWAY_KEY_HASH_SECRET = az keyvault secret show --subscription $env:AZURE_SUBSCRIPTION_ID `
    --vault-name $env:AZURE_KEY_VAULT_NAME --name $env:GATEWAY_KEY_HASH_SECRET_NAME --query value --output tsv
if ($LASTEXITCODE -ne 0 -or -not $env:GATEWAY_KEY_HASH_SECRET) { throw 'postdeploy: Key Vault gave no key-hash secret' }
# The deployment's own settings and nothing that points the gateway's commands to local storage.
$env:GATEWAY_TABLES_CONNECTION_STRING = $null
$env:GATEWAY_ALL_ACCESS_KEY = $null

$errors = New-TemporaryFile
try {
    # Exit status 3 is storage that refuses or does not answer: a role that was just assigned takes minutes to be seen.
    for ($tried = 1; ; $tried++) {
        $created = & $python -m shared subscriptions create $subscription --scope $scope --json 2>$errors.FullName | Out-String
        $result = $LASTEXITCODE
        if ($result -ne 3) { break }
        if ($tried -ge $attempts) {
            throw "postdeploy: no subscription could be made. With vnetEnabled set ALLOWED_IP_ADDRESS, or run 'azd hooks run postdeploy' inside the network`n$(Get-Content $errors.FullName -Raw)"
        }
        Start-Sleep -Seconds $pause
    }
    if ($result -eq 0) {
        $key = ($created | ConvertFrom-Json).primary_key
        Write-Host "Subscription $subscription is made. Its primary key is shown now and never again: $key"
    }
    else {
        $message = Get-Content $errors.FullName -Raw
        if ($result -eq 1) { & $python -m shared subscriptions show $subscription *> $null }
        if ($result -ne 1 -or $LASTEXITCODE -ne 0) { throw $message }
        $key = "<key of subscription $subscription>"
        Write-Host "Subscription $subscription is there already; a lost key is replaced with: python -m shared subscriptions rotate $subscription primary"
    }
}
finally {
    $env:GATEWAY_KEY_HASH_SECRET = $null
    Remove-Item $errors.FullName -Force
}

Write-Host ""
Write-Host "curl '$env:GATEWAY_URL$path' ``"
Write-Host "  -H 'api-key: $key' -H 'content-type: application/json' ``"
Write-Host "  -d '{`"messages`": [{`"role`": `"user`", `"content`": `"Hello`"}]}'"
exit 0
