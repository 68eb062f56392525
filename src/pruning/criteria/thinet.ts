/**
 * @file ThiNet: Luo et al., ICCV 2017, section 3.2: of channels T to remove, the next is the one that leaves sum_i (sum_{j in T} x_ij)^2 least, x_ij being what channel
 * j adds to output i of the next layer, sampled over images, places and filters. (Their scaling of what is left is a part of `--recalibrate`, for every method.)
 */
import { lookup } from '../../ops/registry.ts'
import { UserError } from '../../tensor/error.ts'
import { nodeLabel } from '../channel-links.ts'
import type { FeatureCriterion } from './criterion.ts'

/** A channel's score is the error when it goes, made to grow from one removed channel to the next: one order serves all widths. Several next layers add up their errors. */
export const thinet: FeatureCriterion = {
  name: 'thinet',
  needs: 'features',
  score(group, { products }) {
    const { channels: n } = group
    const inner = products(group)
    const scores = new Float64Array(n)
    const left = new Set(Array.from({ length: n }, (_, k) => k))
    // The error within T is the sum of inner products within T: k adds x_k.x_k and twice its products with T.
    const added = Float64Array.from({ length: n }, (_, k) => inner[k * n + k]!)
    for (let error = 0, last = 0; left.size > 0; ) {
      let next = -1
      for (const k of left) if (next < 0 || added[k]! < added[next]!) next = k
      left.delete(next)
      error = Math.max(0, error + added[next]!)
      // Channels that cancel each other lower the error again; the later one must still rank higher.
      last = Math.max(error, last * (1 + 1e-9))
      scores[next] = last
      for (const k of left) added[k] = added[k]! + 2 * inner[next * n + k]!
    }
    return scores
  },
  assertScorable({ id, consumers }) {
    const unknown = consumers.find(({ node }) => !lookup(node.opType, node.domain)?.regressors)
    if (unknown) throw new UserError(`--method thinet: ${nodeLabel(unknown.node)}, which reads group "${id}", is no convolution, and what each channel adds to its outputs is not worked out; choose another method, or leave the group whole with --keep "${id}"`)
  },
}
