/** @file Whether two models have the same nodes and shapes: a model that was trained further must be the cut it came from. */
import type { Attribute, Model, Node } from '../ir/graph.ts'
import { sizeOf, toNumbers } from '../tensor/tensor.ts'
import type { TensorData } from '../tensor/dtype.ts'

/** Where `other` has other nodes, attributes, connections or shapes of initializers than `model`, in plain words. */
export function compareStructure(model: Model, other: Model): string[] {
  const faults: string[] = []
  const [a, b] = [model.graph, other.graph]
  if (a.nodes.length !== b.nodes.length) faults.push(`${b.nodes.length} nodes, ${a.nodes.length} expected`)
  a.nodes.forEach((node, i) => {
    const twin = b.nodes[i]
    if (!twin) return
    if (edgesOf(node) !== edgesOf(twin)) faults.push(`node ${i} is ${edgesOf(twin)}, expected ${edgesOf(node)}`)
    else if (attributesOf(node.attributes) !== attributesOf(twin.attributes)) faults.push(`the attributes of ${node.opType} "${node.name}" are ${attributesOf(twin.attributes)}, expected ${attributesOf(node.attributes)}`)
  })
  for (const ports of ['inputs', 'outputs'] as const) {
    const [wanted, got] = [a, b].map((graph) => graph[ports].map((v) => `"${v.name}" [${v.shape?.map((d) => d ?? '?').join(',') ?? '...'}]`).join(', '))
    if (wanted !== got) faults.push(`the ${ports} are ${got}, expected ${wanted}`)
  }
  const there = new Map(b.initializers.map((v) => [v.name, v.initializer]))
  for (const v of a.initializers) {
    const [wanted, got] = [v.initializer, there.get(v.name)].map((t) => t && `${t.dtype} [${t.dims.join()}]`)
    if (wanted !== got) faults.push(`initializer "${v.name}" is ${got ?? 'missing'}, expected ${wanted}`)
    there.delete(v.name)
  }
  for (const name of there.keys()) faults.push(`initializer "${name}" is not expected`)
  return faults
}

function edgesOf(n: Node): string {
  return `${n.domain}.${n.opType}(${n.inputs.map((v) => v?.name ?? '').join(', ')}) -> ${n.outputs.map((v) => v?.name ?? '').join(', ')}`
}

function attributesOf(attributes: ReadonlyMap<string, Attribute>): string {
  return [...attributes]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, attribute]) => `${name}=${textOf(attribute)}`)
    .join(' ')
}

function textOf({ kind, value }: Attribute): string {
  if (kind === 'graph' || kind === 'graphs' || kind === 'raw') return kind
  if (kind !== 'tensor') return String(value)
  // The content of larger constants is compared as data is, not told.
  return sizeOf(value.dims) > 64 || value.dtype === 'string' ? `${value.dtype} [${value.dims.join()}]` : toNumbers(value).join()
}

/** True when all initializers of `model` are those of `other`, bit by bit. */
export function sameWeights(model: Model, other: Model): boolean {
  const there = new Map(other.graph.initializers.map((v) => [v.name, v.initializer]))
  return model.graph.initializers.every(({ name, initializer }) => initializer && sameData(initializer.data, there.get(name)?.data))
}

function sameData(a: TensorData, b: TensorData | undefined): boolean {
  if (a === b) return true
  if (a.length !== b?.length) return false
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return true
}
