// A Content Safety resource for the llm-content-safety policy, reached with Entra tokens only.
param name string
param location string
param tags object
param isolated bool

resource account 'Microsoft.CognitiveServices/accounts@2024-10-01' = {
  name: name
  location: location
  tags: tags
  kind: 'ContentSafety'
  sku: {
    name: 'S0'
  }
  properties: {
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: isolated ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: isolated ? 'Deny' : 'Allow'
    }
  }
}

output id string = account.id
output name string = account.name
output endpoint string = 'https://${account.properties.customSubDomainName}.cognitiveservices.azure.com'
