/** @file Rewrites a model to the working opset, so that rules have one form of each operator to deal with. */
import { cloneModel } from '../ir/edit.ts'
import { type Graph, type Model, opsetOf } from '../ir/graph.ts'
import { uniqueNames } from '../ir/names.ts'
import { subgraphsOf } from '../ir/walk.ts'
import { workingOpset } from '../ops/builder.ts'
import { laterThan21, upgrades, type UpgradeSite } from '../ops/upgrades.ts'
import { UserError } from '../tensor/error.ts'
import { inferGraph } from './infer-shapes.ts'

/**
 * A copy of the model at the working opset (21), of the same meaning, with shapes inferred. Models at 22 and 23 are taken
 * back to 21 where all they use exists there.
 */
export function upgradeOpset(model: Model): Model {
  const copy = cloneModel(model).model
  const opset = opsetOf(copy)
  inferGraph(copy.graph, opset)
  const unique = uniqueNames(copy.graph)
  // Renamed operators (Upsample becomes Resize) meet their new name's later changes because opsets are the outer loop.
  for (let since = opset + 1; since <= workingOpset; since++) upgradeGraph(copy.graph, since, unique)
  if (opset > workingOpset) checkOlder(copy.graph, opset)
  copy.opsets.delete('ai.onnx')
  copy.opsets.set('', workingOpset)
  // Up to IR 3 initializers had to be graph inputs; the new ones are not.
  copy.irVersion = Math.max(copy.irVersion, 8)
  inferGraph(copy.graph, workingOpset)
  return copy
}

function upgradeGraph(graph: Graph, since: number, unique: UpgradeSite['unique']): void {
  for (const node of graph.nodes.slice()) {
    for (const g of subgraphsOf(node)) upgradeGraph(g, since, unique)
    if (node.domain !== '' && node.domain !== 'ai.onnx') continue
    for (const upgrade of upgrades[node.opType] ?? []) {
      if (upgrade.since !== since) continue
      try {
        upgrade.apply(node, { graph, unique })
      } catch (cause) {
        throw new UserError(`${cause instanceof Error ? cause.message : String(cause)}: the model cannot be raised to opset ${workingOpset}; export it at opset ${workingOpset}`, { cause })
      }
    }
  }
}

function checkOlder(graph: Graph, opset: number): void {
  for (const node of graph.nodes) {
    for (const g of subgraphsOf(node)) checkOlder(g, opset)
    const later = node.domain === '' || node.domain === 'ai.onnx' ? laterThan21[node.opType] : undefined
    const what = later === 'operator' ? `operator ${node.opType}` : later?.find((name) => node.attributes.has(name))
    if (what === undefined) continue
    throw new UserError(`${node.opType} "${node.name}" uses the ${later === 'operator' ? what : `attribute ${what}`} of opset ${opset}, which opset ${workingOpset} does not have; export the model at opset ${workingOpset}`)
  }
}
