// An Event Hubs namespace with one hub for the log-to-eventhub policy, reached with Entra tokens only.
param name string
param location string
param tags object
param isolated bool

resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  // Private endpoints need the standard tier.
  sku: {
    name: isolated ? 'Standard' : 'Basic'
    tier: isolated ? 'Standard' : 'Basic'
    capacity: 1
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: isolated ? 'Disabled' : 'Enabled'
  }
}

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' = {
  parent: namespace
  name: 'gateway'
  properties: {
    partitionCount: 2
    messageRetentionInDays: 1
  }
}

output id string = namespace.id
output name string = namespace.name
output hubName string = hub.name
output endpoint string = 'https://${namespace.name}.servicebus.windows.net'
