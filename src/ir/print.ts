/** @file Prints a graph as text, one node a line: for people, and for inline snapshots in tests. */
import type { Attribute, Graph, Value } from './graph.ts'

export function print(graph: Graph, indent = ''): string {
  const lines = [`${indent}graph ${graph.name}(${graph.inputs.map(typed).join(', ')}) {`]
  for (const v of graph.initializers) lines.push(`${indent}  ${typed(v)} = initializer`)
  for (const node of graph.nodes) {
    const outputs = node.outputs.map((v) => (v ? typed(v) : '_')).join(', ')
    const inputs = node.inputs.map((v) => v?.name ?? '_').join(', ')
    const attributes = [...node.attributes].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, a]) => `${key}=${text(a)}`)
    const type = node.domain ? `${node.domain}.${node.opType}` : node.opType
    lines.push(`${indent}  ${outputs} = ${type}(${inputs})${attributes.length ? ` {${attributes.join(', ')}}` : ''}`)
    for (const a of node.attributes.values()) if (a.kind === 'graph') lines.push(print(a.value, `${indent}    `))
  }
  lines.push(`${indent}  return ${graph.outputs.map((v) => v.name).join(', ')}`, `${indent}}`)
  return lines.join('\n')
}

function typed(v: Value): string {
  return `${v.name}: ${v.dtype ?? '?'}[${v.shape?.map((d) => d ?? '?').join(',') ?? '...'}]`
}

function text(a: Attribute): string {
  switch (a.kind) {
    case 'int': return String(a.value)
    case 'float': return String(Number(a.value.toPrecision(7)))
    case 'string': return JSON.stringify(a.value)
    case 'ints': return `[${a.value.join(',')}]`
    case 'floats': return `[${a.value.map((v) => Number(v.toPrecision(7))).join(',')}]`
    case 'strings': return JSON.stringify(a.value)
    case 'tensor': return `${a.value.dtype}[${a.value.dims.join(',')}]`
    case 'graph': return a.value.name
    case 'graphs': return `[${a.value.map((g) => g.name).join(',')}]`
    case 'raw': return 'raw'
  }
}
