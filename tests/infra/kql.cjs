// Kusto's own language service asked about queries: {tables, queries} as JSON in, {query: {problems, columns}} out.
'use strict'

require('@kusto/language-service-next/bridge.min.js')
require('@kusto/language-service-next/Kusto.Language.Bridge.min.js')
const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language

const listed = (list) => Array.from({ length: System.Array.getCount(list) }, (_, at) => System.Array.getItem(list, at))

function problem(text, { Severity, Message, Start }) {
  const line = text.slice(0, Start).split('\n').length
  return `${line}: ${Severity}: ${Message}`
}

function analysed(text, globals) {
  const code = KustoCode.ParseAndAnalyze(text, globals)
  const columns = code.ResultType && code.ResultType.Columns ? listed(code.ResultType.Columns) : []
  return {
    problems: listed(code.GetDiagnostics()).map((one) => problem(text, one)),
    columns: Object.fromEntries(columns.map((column) => [column.Name, column.Type.Name])),
  }
}

const { tables, queries } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
// The numbered constructors are the overloads of the .NET library this one is compiled from: (name, schema, description).
const symbols = Object.entries(tables).map(([name, schema]) => new Symbols.TableSymbol.$ctor7(name, schema, null))
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor('logs', symbols))
const answers = Object.entries(queries).map(([name, text]) => [name, analysed(text, globals)])
process.stdout.write(JSON.stringify(Object.fromEntries(answers)))
