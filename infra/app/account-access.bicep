// One role for the gateway on an Azure OpenAI, Foundry or Content Safety resource that exists already.
param accountName string
param principalId string
param roleDefinitionGuid string

resource account 'Microsoft.CognitiveServices/accounts@2024-10-01' existing = {
  name: accountName
}

resource role 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: account
  name: guid(account.id, principalId, roleDefinitionGuid)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleDefinitionGuid)
  }
}

output openAiEndpoint string = 'https://${account.properties.customSubDomainName}.openai.azure.com'
output accountEndpoint string = 'https://${account.properties.customSubDomainName}.cognitiveservices.azure.com'
