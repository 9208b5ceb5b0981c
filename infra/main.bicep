// The whole deployment: a resource group with the gateway, its state, its secrets, its logs and, if wanted, its models.
targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('Name of the azd environment; names of resources are made from it.')
param environmentName string

@minLength(1)
@description('Region of everything but, if asked for, the models. The list has the regions with Flex Consumption.')
@allowed([
  'australiaeast'
  'australiasoutheast'
  'brazilsouth'
  'canadacentral'
  'centralindia'
  'centralus'
  'eastasia'
  'eastus'
  'eastus2'
  'francecentral'
  'germanywestcentral'
  'italynorth'
  'japaneast'
  'koreacentral'
  'northcentralus'
  'northeurope'
  'norwayeast'
  'southafricanorth'
  'southcentralus'
  'southeastasia'
  'southindia'
  'spaincentral'
  'swedencentral'
  'uaenorth'
  'uksouth'
  'ukwest'
  'westcentralus'
  'westeurope'
  'westus'
  'westus2'
  'westus3'
])
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('Object id of whoever deploys: may write the secrets and make subscriptions. Empty: nobody may.')
param principalId string = ''

@description('Kind of that principal.')
@allowed(['User', 'ServicePrincipal', 'Group'])
param principalType string = 'User'

@description('Python of the function app. 3.13 is the version the tests run on the real Functions runtime.')
@allowed(['3.12', '3.13'])
param pythonVersion string = '3.13'

@description('Memory of an instance. One Python process uses about one core, which 2048 has.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('How far the app scales out; also bounds what instances admit while storage is away.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Instances that are always on, billed while idle. 0: the app scales to zero.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int = 0

@description('Requests an instance serves at once before another starts. The platform default for Python is 1.')
@minValue(1)
@maxValue(1000)
param perInstanceConcurrency int = 64

@description('Region of the models where it differs from location.')
param openAiLocation string = ''

@description('Chat model to deploy, also the name of its deployment.')
param chatModelName string = 'gpt-5-mini'

@description('Version of the chat model. Empty: the service takes its default version.')
param chatModelVersion string = ''

@description('Quota of the chat deployment in thousands of tokens per minute.')
@minValue(1)
param chatCapacity int = 50

@description('Embeddings model to deploy, also the name of its deployment.')
param embeddingsModelName string = 'text-embedding-3-small'

@description('Quota of the embeddings deployment in thousands of tokens per minute.')
@minValue(1)
param embeddingsCapacity int = 50

@description('Kind of the model deployments.')
@allowed(['GlobalStandard', 'DataZoneStandard', 'Standard'])
param modelSkuName string = 'GlobalStandard'

@description('Azure OpenAI or Foundry resource to use instead of a new one; the gateway is given its role there.')
param existingOpenAiResourceId string = ''

@description('Endpoint to use instead of a new resource, without a role: its key goes into secretSettings.')
param existingOpenAiEndpoint string = ''

@description('Whether to create a Content Safety resource for llm-content-safety.')
param contentSafetyEnabled bool = false

@description('Content Safety resource to use instead of a new one; the gateway is given its role there.')
param existingContentSafetyResourceId string = ''

@description('Whether to create an Event Hubs namespace and hub for log-to-eventhub.')
param eventHubsEnabled bool = false

@description('Log Analytics workspace to use instead of a new one.')
param existingLogAnalyticsWorkspaceId string = ''

@description('Whether storage, secrets and models are reached over private endpoints only.')
param vnetEnabled bool = false

@description('With vnetEnabled: the public address that still reaches storage and Key Vault, to run the hooks from.')
param allowedIpAddress string = ''

@description('More app settings, by name: values for named values of gateway.yaml. Not for secrets.')
param extraSettings object = {}

@description('More app settings that come from Key Vault: name of the setting to name of the secret.')
param secretSettings object = {}

var abbreviations = loadJsonContent('./abbreviations.json')
var resourceToken = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var resourceGroupName = '${abbreviations.resourcesResourceGroups}${environmentName}'
var functionAppName = '${abbreviations.webSitesFunctions}${resourceToken}'
var keyVaultName = '${abbreviations.keyVaultVaults}${resourceToken}'
var keyHashSecretName = 'gateway-key-hash-secret'
var allAccessKeyName = 'gateway-all-access-key'

var createOpenAi = empty(existingOpenAiResourceId) && empty(existingOpenAiEndpoint)
var createContentSafety = contentSafetyEnabled && empty(existingContentSafetyResourceId)

// The scope of a module is worked out even when the module is left out: then it is a group that always exists.
var noResource = '${subscription().id}/resourceGroups/${resourceGroupName}/none'
var openAiIdParts = split(empty(existingOpenAiResourceId) ? noResource : existingOpenAiResourceId, '/')
var contentSafetyIdParts = split(empty(existingContentSafetyResourceId) ? noResource : existingContentSafetyResourceId, '/')

var cognitiveServicesOpenAiUser = '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd'
var cognitiveServicesUser = 'a97b65f3-24c7-4388-baec-2e87135dc908'

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: resourceGroupName
  location: location
  tags: tags
}

module identity 'app/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: '${abbreviations.managedIdentityUserAssignedIdentities}${resourceToken}'
    location: location
    tags: tags
  }
}

module monitoring 'app/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: '${abbreviations.operationalInsightsWorkspaces}${resourceToken}'
    existingWorkspaceId: existingLogAnalyticsWorkspaceId
    applicationInsightsName: '${abbreviations.insightsComponents}${resourceToken}'
    location: location
    tags: tags
  }
}

module workbook 'app/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    location: location
    tags: tags
  }
}

module network 'app/network.bicep' = if (vnetEnabled) {
  name: 'network'
  scope: group
  params: {
    name: '${abbreviations.networkVirtualNetworks}${resourceToken}'
    location: location
    tags: tags
  }
}

module storage 'app/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: '${abbreviations.storageStorageAccounts}${resourceToken}'
    location: location
    tags: tags
    isolated: vnetEnabled
    allowedIpAddress: allowedIpAddress
  }
}

module keyVault 'app/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    name: keyVaultName
    location: location
    tags: tags
    isolated: vnetEnabled
    allowedIpAddress: allowedIpAddress
  }
}

module openAi 'app/openai.bicep' = if (createOpenAi) {
  name: 'openai'
  scope: group
  params: {
    name: '${abbreviations.cognitiveServicesAccounts}${resourceToken}'
    location: empty(openAiLocation) ? location : openAiLocation
    tags: tags
    isolated: vnetEnabled
    chatModelName: chatModelName
    chatModelVersion: chatModelVersion
    chatCapacity: chatCapacity
    embeddingsModelName: embeddingsModelName
    embeddingsCapacity: embeddingsCapacity
    modelSkuName: modelSkuName
  }
}

module openAiAccess 'app/account-access.bicep' = if (!empty(existingOpenAiResourceId)) {
  name: 'openai-access-${resourceToken}'
  scope: resourceGroup(openAiIdParts[2], openAiIdParts[4])
  params: {
    accountName: last(openAiIdParts)
    principalId: identity.outputs.principalId
    roleDefinitionGuid: cognitiveServicesOpenAiUser
  }
}

module contentSafety 'app/content-safety.bicep' = if (createContentSafety) {
  name: 'content-safety'
  scope: group
  params: {
    name: '${abbreviations.cognitiveServicesContentSafety}${resourceToken}'
    location: location
    tags: tags
    isolated: vnetEnabled
  }
}

module contentSafetyAccess 'app/account-access.bicep' = if (!empty(existingContentSafetyResourceId)) {
  name: 'content-safety-access-${resourceToken}'
  scope: resourceGroup(contentSafetyIdParts[2], contentSafetyIdParts[4])
  params: {
    accountName: last(contentSafetyIdParts)
    principalId: identity.outputs.principalId
    roleDefinitionGuid: cognitiveServicesUser
  }
}

module eventHubs 'app/event-hubs.bicep' = if (eventHubsEnabled) {
  name: 'event-hubs'
  scope: group
  params: {
    name: '${abbreviations.eventHubNamespaces}${resourceToken}'
    location: location
    tags: tags
    isolated: vnetEnabled
  }
}

module roles 'app/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    identityPrincipalId: identity.outputs.principalId
    principalId: principalId
    principalType: principalType
    storageAccountName: storage.outputs.name
    keyVaultName: keyVault.outputs.name
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    openAiAccountName: createOpenAi ? openAi!.outputs.name : ''
    contentSafetyAccountName: createContentSafety ? contentSafety!.outputs.name : ''
    eventHubsNamespaceName: eventHubsEnabled ? eventHubs!.outputs.name : ''
    cognitiveServicesOpenAiUser: cognitiveServicesOpenAiUser
    cognitiveServicesUser: cognitiveServicesUser
  }
}

module storagePrivateEndpoints 'app/private-endpoint.bicep' = [for service in ['blob', 'table']: if (vnetEnabled) {
  name: 'private-endpoint-${service}'
  scope: group
  params: {
    name: '${abbreviations.networkPrivateEndpoints}${service}-${resourceToken}'
    location: location
    tags: tags
    targetId: storage.outputs.id
    groupId: service
    subnetId: network!.outputs.endpointsSubnetId
    zoneNames: ['privatelink.${service}.${environment().suffixes.storage}']
  }
}]

module keyVaultPrivateEndpoint 'app/private-endpoint.bicep' = if (vnetEnabled) {
  name: 'private-endpoint-vault'
  scope: group
  params: {
    name: '${abbreviations.networkPrivateEndpoints}vault-${resourceToken}'
    location: location
    tags: tags
    targetId: keyVault.outputs.id
    groupId: 'vault'
    subnetId: network!.outputs.endpointsSubnetId
    zoneNames: ['privatelink.vaultcore.azure.net']
  }
}

module openAiPrivateEndpoint 'app/private-endpoint.bicep' = if (vnetEnabled && createOpenAi) {
  name: 'private-endpoint-openai'
  scope: group
  params: {
    name: '${abbreviations.networkPrivateEndpoints}openai-${resourceToken}'
    location: location
    tags: tags
    targetId: openAi!.outputs.id
    groupId: 'account'
    subnetId: network!.outputs.endpointsSubnetId
    zoneNames: [
      'privatelink.cognitiveservices.azure.com'
      'privatelink.openai.azure.com'
      'privatelink.services.ai.azure.com'
    ]
  }
}

module contentSafetyPrivateEndpoint 'app/private-endpoint.bicep' = if (vnetEnabled && createContentSafety) {
  name: 'private-endpoint-content-safety'
  scope: group
  params: {
    name: '${abbreviations.networkPrivateEndpoints}content-safety-${resourceToken}'
    location: location
    tags: tags
    targetId: contentSafety!.outputs.id
    groupId: 'account'
    subnetId: network!.outputs.endpointsSubnetId
    zoneNames: ['privatelink.cognitiveservices.azure.com']
  }
}

module eventHubsPrivateEndpoint 'app/private-endpoint.bicep' = if (vnetEnabled && eventHubsEnabled) {
  name: 'private-endpoint-event-hubs'
  scope: group
  params: {
    name: '${abbreviations.networkPrivateEndpoints}event-hubs-${resourceToken}'
    location: location
    tags: tags
    targetId: eventHubs!.outputs.id
    groupId: 'namespace'
    subnetId: network!.outputs.endpointsSubnetId
    zoneNames: ['privatelink.servicebus.windows.net']
  }
}

var openAiEndpoint = createOpenAi
  ? openAi!.outputs.endpoint
  : !empty(existingOpenAiResourceId) ? openAiAccess!.outputs.openAiEndpoint : existingOpenAiEndpoint
var contentSafetyEndpoint = createContentSafety
  ? contentSafety!.outputs.endpoint
  : !empty(existingContentSafetyResourceId) ? contentSafetyAccess!.outputs.accountEndpoint : ''
var eventHubsEndpoint = eventHubsEnabled ? eventHubs!.outputs.endpoint : ''

module functionApp 'app/function-app.bicep' = {
  name: 'function-app'
  scope: group
  params: {
    name: functionAppName
    planName: '${abbreviations.webServerFarms}${resourceToken}'
    location: location
    tags: tags
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyInstances: alwaysReadyInstances
    perInstanceConcurrency: perInstanceConcurrency
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageAccountName: storage.outputs.name
    deploymentContainerName: storage.outputs.deploymentContainerName
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    keyVaultName: keyVault.outputs.name
    keyHashSecretName: keyHashSecretName
    allAccessKeyName: allAccessKeyName
    openAiEndpoint: openAiEndpoint
    contentSafetyEndpoint: contentSafetyEndpoint
    eventHubsEndpoint: eventHubsEndpoint
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
    extraSettings: extraSettings
    secretSettings: secretSettings
  }
  // The app reads its package and its secrets with the identity: without roles and routes its first start fails.
  dependsOn: [
    roles
    storagePrivateEndpoints
    keyVaultPrivateEndpoint
  ]
}

output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_NAME string = functionApp.outputs.name
output AZURE_KEY_VAULT_NAME string = keyVault.outputs.name
output AZURE_OPENAI_ENDPOINT string = openAiEndpoint
output AZURE_OPENAI_CHAT_DEPLOYMENT string = createOpenAi ? chatModelName : ''
output AZURE_OPENAI_EMBEDDINGS_DEPLOYMENT string = createOpenAi ? embeddingsModelName : ''
output CONTENT_SAFETY_ENDPOINT string = contentSafetyEndpoint
output EVENT_HUBS_ENDPOINT string = eventHubsEndpoint
output EVENT_HUB_NAME string = eventHubsEnabled ? eventHubs!.outputs.hubName : ''
output GATEWAY_URL string = functionApp.outputs.url
output GATEWAY_TABLES_ENDPOINT string = storage.outputs.tablesEndpoint
output GATEWAY_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
output GATEWAY_KEY_HASH_SECRET_NAME string = keyHashSecretName
output GATEWAY_ALL_ACCESS_KEY_NAME string = allAccessKeyName
// Deleting the resource group leaves these role assignments: they are in other groups.
output GATEWAY_ROLES_ELSEWHERE string = join(filter([existingOpenAiResourceId, existingContentSafetyResourceId], id => !empty(id)), ' ')
