// A Foundry resource with one chat and one embeddings deployment, reached with Entra tokens only.
param name string
param location string
param tags object
param isolated bool
param chatModelName string
param chatModelVersion string
param chatCapacity int
param embeddingsModelName string
param embeddingsCapacity int
param modelSkuName string

resource account 'Microsoft.CognitiveServices/accounts@2024-10-01' = {
  name: name
  location: location
  tags: tags
  kind: 'AIServices'
  sku: {
    name: 'S0'
  }
  properties: {
    // Entra tokens are taken on a subdomain of its own only.
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: isolated ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: isolated ? 'Deny' : 'Allow'
    }
  }
}

resource chat 'Microsoft.CognitiveServices/accounts/deployments@2024-10-01' = {
  parent: account
  name: chatModelName
  sku: {
    name: modelSkuName
    capacity: chatCapacity
  }
  properties: {
    model: union({ format: 'OpenAI', name: chatModelName }, empty(chatModelVersion) ? {} : { version: chatModelVersion })
    versionUpgradeOption: 'OnceNewDefaultVersionAvailable'
  }
}

resource embeddings 'Microsoft.CognitiveServices/accounts/deployments@2024-10-01' = {
  parent: account
  name: embeddingsModelName
  sku: {
    name: modelSkuName
    capacity: embeddingsCapacity
  }
  properties: {
    model: {
      format: 'OpenAI'
      name: embeddingsModelName
    }
    versionUpgradeOption: 'OnceNewDefaultVersionAvailable'
  }
  // An account takes one change of its deployments at a time.
  dependsOn: [
    chat
  ]
}

output id string = account.id
output name string = account.name
output endpoint string = 'https://${account.properties.customSubDomainName}.openai.azure.com'
