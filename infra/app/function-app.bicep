// The function app on its Flex Consumption plan, with every setting the gateway and its host read.
param name string
param planName string
param location string
param tags object
param pythonVersion string
param instanceMemoryMB int
param maximumInstanceCount int
param alwaysReadyInstances int
param perInstanceConcurrency int
param identityId string
param identityClientId string
param storageAccountName string
param deploymentContainerName string
param applicationInsightsName string
param keyVaultName string
param keyHashSecretName string
param allAccessKeyName string
param openAiEndpoint string
param contentSafetyEndpoint string
param eventHubsEndpoint string
param subnetId string
param extraSettings object
param secretSettings object

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageAccountName
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

var hostSettings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
  AzureWebJobsStorage__tableServiceUri: storage.properties.primaryEndpoints.table
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
}

// From 3.13 on the worker does both without being told.
var pythonSettings = pythonVersion == '3.12'
  ? {
      PYTHON_ENABLE_INIT_INDEXING: '1'
      PYTHON_ISOLATE_WORKER_DEPENDENCIES: '1'
    }
  : {}

// What comes from all requests at once; extraSettings may say otherwise.
var telemetryDefaults = {
  OTEL_TRACES_SAMPLER: 'microsoft.rate_limited'
  OTEL_TRACES_SAMPLER_ARG: '100'
}

var gatewaySettings = {
  GATEWAY_KEY_HASH_SECRET: '@Microsoft.KeyVault(VaultName=${keyVaultName};SecretName=${keyHashSecretName})'
  GATEWAY_ALL_ACCESS_KEY: '@Microsoft.KeyVault(VaultName=${keyVaultName};SecretName=${allAccessKeyName})'
  GATEWAY_TABLES_ENDPOINT: storage.properties.primaryEndpoints.table
  GATEWAY_MAX_INSTANCES: string(maximumInstanceCount)
  AZURE_CLIENT_ID: identityClientId
  AZURE_OPENAI_ENDPOINT: openAiEndpoint
}

var contentSafetySettings = empty(contentSafetyEndpoint) ? {} : { CONTENT_SAFETY_ENDPOINT: contentSafetyEndpoint }
var eventHubsSettings = empty(eventHubsEndpoint) ? {} : { EVENT_HUBS_ENDPOINT: eventHubsEndpoint }

var keyVaultSettings = toObject(
  items(secretSettings),
  setting => setting.key,
  setting => '@Microsoft.KeyVault(VaultName=${keyVaultName};SecretName=${setting.value})'
)

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // The gateway has its own keys: the host's admin API is closed, so a host's master key opens nothing.
    #disable-next-line BCP037
    functionsRuntimeAdminIsolationEnabled: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${deploymentContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyInstances > 0 ? [{ name: 'http', instanceCount: alwaysReadyInstances }] : []
        triggers: {
          http: {
            perInstanceConcurrency: perInstanceConcurrency
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
    }
  }
}

resource settings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: union(
    telemetryDefaults,
    extraSettings,
    keyVaultSettings,
    contentSafetySettings,
    eventHubsSettings,
    pythonSettings,
    gatewaySettings,
    hostSettings
  )
}

// Packages are published with Entra tokens, never with a publishing password.
resource ftpCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmCredentials 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
