// Key Vault for the gateway's own two secrets, which the postprovision hook makes, and for third parties' keys.
param name string
param location string
param tags object
param isolated bool
param allowedIpAddress string

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    accessPolicies: []
    enableRbacAuthorization: true
    // Purge protection stays off: with it a deleted environment could not be purged, nor its name be used again.
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
    publicNetworkAccess: isolated && empty(allowedIpAddress) ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: isolated ? 'Deny' : 'Allow'
      ipRules: isolated && !empty(allowedIpAddress) ? [{ value: allowedIpAddress }] : []
    }
  }
}

output id string = vault.id
output name string = vault.name
