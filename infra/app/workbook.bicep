// The workbook of Application Insights: the questions of infra/queries, by what its reader chooses.
param applicationInsightsName string
param location string
param tags object

var title = 'AI gateway'

var choices = [
  { name: 'Api', label: 'API', query: loadTextContent('../queries/choices-apis.kql') }
  { name: 'Product', label: 'Product', query: loadTextContent('../queries/choices-products.kql') }
  { name: 'Subscription', label: 'Subscription', query: loadTextContent('../queries/choices-subscriptions.kql') }
]

var tabs = [
  {
    key: 'usage'
    label: 'Usage'
    note: 'From the recorded calls, each weighted with the calls it stands for. An answer from a cache takes no tokens.'
  }
  {
    key: 'cost'
    label: 'Cost'
    note: 'What the policy `llm-emit-token-metric` counted, of every call, under the dimensions it is given. Prices are those of `gateway.yaml`.'
  }
  {
    key: 'latency'
    label: 'Latency'
    note: 'Answered calls, from the first byte of the request to the last of the answer. First chunk: of streams only.'
  }
  {
    key: 'cache'
    label: 'Cache'
    note: 'Answers of `llm-semantic-cache-lookup` (exact, semantic) and `cache-lookup` (response), of all answered calls.'
  }
  {
    key: 'refusals'
    label: 'Refusals and failures'
    note: 'Calls that were refused (401, 403, 429), failed (500 and more), or ended before the answer did.'
  }
  {
    key: 'backends'
    label: 'Backends'
    note: 'Calls the gateway made: one that failed over counts for each backend that was tried.'
  }
  {
    key: 'messages'
    label: 'Messages'
    note: 'Of APIs whose `diagnostics` log prompts or completions.'
  }
]

// What the reader chose, in place of views/scope.kql. Nothing chosen is written as nothing, and leaves a list empty.
var scope = '''
let grain = {TimeRange:grain};
let apis = dynamic([{Api}]);
let products = dynamic([{Product}]);
let subscriptions = dynamic([{Subscription}]);
'''
var calls = '${scope}${loadTextContent('../queries/views/calls.kql')}'
var attempts = '${calls}${loadTextContent('../queries/views/attempts.kql')}'
var counted = '${scope}${loadTextContent('../queries/views/counted.kql')}'
var tables = '${scope}${loadTextContent('../queries/views/api-management.kql')}'

var count = { unit: 0, options: { style: 'decimal', useGrouping: true, maximumFractionDigits: 0 } }
var percent = { unit: 1, options: { style: 'decimal', useGrouping: true, maximumFractionDigits: 1 } }
var amount = { unit: 0, options: { style: 'decimal', useGrouping: true, maximumFractionDigits: 4 } }
var milliseconds = { unit: 23, options: { style: 'decimal', useGrouping: true, maximumFractionDigits: 1 } }

// `format` is that of a chart's values; `formats` are those of columns of a table, by a pattern of their names.
var panels = [
  {
    tab: 'usage'
    title: 'Totals'
    query: '${calls}${loadTextContent('../queries/totals.kql')}'
    visualization: 'tiles'
    format: count
    formats: {}
  }
  {
    tab: 'usage'
    title: 'Tokens by model'
    query: '${calls}${loadTextContent('../queries/tokens-over-time.kql')}'
    visualization: 'areachart'
    format: count
    formats: {}
  }
  {
    tab: 'usage'
    title: 'Tokens by subscription, product, API and model'
    query: '${calls}${loadTextContent('../queries/tokens.kql')}'
    visualization: 'table'
    format: count
    formats: {}
  }
  {
    tab: 'cost'
    title: 'Cost over time'
    query: '${counted}${loadTextContent('../queries/cost-over-time.kql')}'
    visualization: 'barchart'
    format: amount
    formats: {}
  }
  {
    tab: 'cost'
    title: 'Cost by subscription, product, API and model'
    query: '${counted}${loadTextContent('../queries/cost.kql')}'
    visualization: 'table'
    format: amount
    formats: { '^Cost$': amount }
  }
  {
    tab: 'cost'
    title: 'Tokens counted'
    query: '${counted}${loadTextContent('../queries/tokens-counted.kql')}'
    visualization: 'table'
    format: count
    formats: {}
  }
  {
    tab: 'latency'
    title: 'Duration of calls'
    query: '${calls}${loadTextContent('../queries/latency-over-time.kql')}'
    visualization: 'linechart'
    format: milliseconds
    formats: {}
  }
  {
    tab: 'latency'
    title: 'Duration by API and model'
    query: '${calls}${loadTextContent('../queries/latency.kql')}'
    visualization: 'table'
    format: milliseconds
    formats: { 'Median|95th percentile|First chunk': milliseconds }
  }
  {
    tab: 'cache'
    title: 'Hit rate'
    query: '${calls}${loadTextContent('../queries/cache-over-time.kql')}'
    visualization: 'linechart'
    format: percent
    formats: {}
  }
  {
    tab: 'cache'
    title: 'Hits by subscription, product and API'
    query: '${calls}${loadTextContent('../queries/cache.kql')}'
    visualization: 'table'
    format: count
    formats: { 'Hit rate': percent }
  }
  {
    tab: 'refusals'
    title: 'Refused calls'
    query: '${calls}${loadTextContent('../queries/refusals-over-time.kql')}'
    visualization: 'barchart'
    format: count
    formats: {}
  }
  {
    tab: 'refusals'
    title: 'Refusals by reason'
    query: '${calls}${loadTextContent('../queries/refusals.kql')}'
    visualization: 'table'
    format: count
    formats: {}
  }
  {
    tab: 'refusals'
    title: 'Failures'
    query: '${calls}${loadTextContent('../queries/failures.kql')}'
    visualization: 'table'
    format: count
    formats: {}
  }
  {
    tab: 'backends'
    title: 'Success rate'
    query: '${attempts}${loadTextContent('../queries/backends-over-time.kql')}'
    visualization: 'linechart'
    format: percent
    formats: {}
  }
  {
    tab: 'backends'
    title: 'Health'
    query: '${attempts}${loadTextContent('../queries/backends.kql')}'
    visualization: 'table'
    format: count
    formats: { 'Success rate': percent, 'Median|95th percentile': milliseconds }
  }
  {
    tab: 'backends'
    title: 'Failovers'
    query: '${attempts}${loadTextContent('../queries/failovers.kql')}'
    visualization: 'table'
    format: count
    formats: {}
  }
  {
    tab: 'messages'
    title: 'Prompts and completions'
    query: '${tables}${loadTextContent('../queries/llm-log.kql')}'
    visualization: 'table'
    format: count
    formats: {}
  }
]

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

var logs = {
  queryType: 0
  resourceType: 'microsoft.insights/components'
  timeContextFromParameter: 'TimeRange'
}

var timeRange = {
  id: guid(title, 'TimeRange')
  version: 'KqlParameterItem/1.0'
  name: 'TimeRange'
  label: 'Time range'
  type: 4
  isRequired: true
  typeSettings: {
    selectableValues: [
      { durationMs: 3600000 }
      { durationMs: 14400000 }
      { durationMs: 86400000 }
      { durationMs: 604800000 }
      { durationMs: 2592000000 }
      { durationMs: 7776000000 }
    ]
    allowCustom: true
  }
  value: {
    durationMs: 86400000
  }
}

var parameters = {
  type: 9
  name: 'parameters'
  content: {
    version: 'KqlParameterItem/1.0'
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.insights/components'
    parameters: concat([timeRange], map(choices, choice => union(logs, {
      id: guid(title, choice.name)
      version: 'KqlParameterItem/1.0'
      name: choice.name
      label: '${choice.label} (none: all)'
      type: 2
      multiSelect: true
      quote: '"'
      delimiter: ','
      query: choice.query
    })))
  }
}

var links = {
  type: 11
  name: 'tabs'
  content: {
    version: 'LinkItem/1.0'
    style: 'tabs'
    links: map(tabs, tab => {
      id: guid(title, tab.key)
      cellValue: 'tab'
      linkTarget: 'parameter'
      linkLabel: tab.label
      subTarget: tab.key
      style: 'link'
    })
  }
}

var notes = map(tabs, tab => {
  type: 1
  name: 'note of ${tab.key}'
  conditionalVisibility: { parameterName: 'tab', comparison: 'isEqualTo', value: tab.key }
  content: {
    json: tab.note
  }
})

var answers = map(panels, panel => {
  type: 3
  name: panel.title
  conditionalVisibility: { parameterName: 'tab', comparison: 'isEqualTo', value: panel.tab }
  content: union(logs, {
    version: 'KqlItem/1.0'
    title: panel.title
    query: panel.query
    size: 0
    visualization: panel.visualization
    showAnalytics: true
    showExportToExcel: true
    chartSettings: { ySettings: { numberFormatSettings: panel.format } }
    tileSettings: {
      titleContent: { columnMatch: 'Name', formatter: 1 }
      leftContent: { columnMatch: 'Value', formatter: 12, formatOptions: { palette: 'none' }, numberFormat: panel.format }
      showBorder: true
    }
    gridSettings: {
      filter: true
      rowLimit: 10000
      formatters: map(items(panel.formats), one => { columnMatch: one.key, formatter: 0, numberFormat: one.value })
    }
  })
})

var document = {
  version: 'Notebook/1.0'
  items: concat([parameters, links], notes, answers)
  fallbackResourceIds: [applicationInsights.id]
}

// One name for good: a deployment changes the workbook that is there.
resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(applicationInsights.id, title)
  location: location
  tags: union(tags, { 'hidden-title': title })
  kind: 'shared'
  properties: {
    displayName: title
    description: 'Tokens, cost, latency, cache, refusals and backends by subscription, product, API and model.'
    category: 'workbook'
    sourceId: applicationInsights.id
    version: 'Notebook/1.0'
    serializedData: string(document)
  }
}
