/** @file A task with the auxiliary networks' loss added: where images have boxes, feature maps are also held to what locates and names the objects. */
import type { ImportedGraph } from '../autodiff/import-graph.ts'
import type { Value } from '../ir/graph.ts'
import { valueNamed } from '../ir/walk.ts'
import type { AuxTask } from './aux-task.ts'
import type { DetectorTask } from './task.ts'
import { statisticsMomentum } from './train.ts'

export interface AuxLossOptions {
  /** Networks at maps of the detector, each for batches of `batch`; they are trained beside it. */
  readonly networks: readonly AuxTask[]
  readonly batch: number
  /** Weight of the sum of their losses. */
  readonly weight: number
  readonly seed: number
}

/** `task` with weight * sum of L_ac + L_ar over the networks. An image without boxes adds nothing. */
export function withAuxLoss(task: DetectorTask, { networks, batch, weight, seed }: AuxLossOptions): DetectorTask {
  const ends = networks.map((n) => n.stageEnd)
  let round = 0
  return {
    wanted: (working) => [...new Set([...(task.wanted?.(working) ?? []), ...ends.map((name) => valueNamed(working.graph, name))])],
    add(b, working, imported) {
      const losses = task.add(b, working, imported)
      const parameters: ImportedGraph['parameters'][number][] = []
      const updates: ImportedGraph['updates'][number][] = []
      let sum: Value = b.scalar(0)
      for (const network of networks) {
        const feature = imported.values.get(valueNamed(working.graph, network.stageEnd))!
        const added = network.add(b, feature, batch, { momentum: statisticsMomentum })
        sum = b.add(sum, b.add(added.classification, added.localization))
        parameters.push(...added.parameters)
        updates.push(...added.updates)
      }
      return { ...losses, auxiliary: { loss: b.mul(sum, b.scalar(weight)), parameters, updates } }
    },
    async feeds(data) {
      round += 1
      const feeds = await task.feeds(data)
      return Object.assign({}, feeds, ...networks.map((n) => n.feeds(data, `${seed}/aux/${round}`)))
    },
    initializer: (name) => task.initializer?.(name) ?? networks.map((n) => n.initializer(name)).find((content) => content !== undefined),
    release: () => task.release(),
  }
}
