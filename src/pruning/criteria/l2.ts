/** @file L2 norm of filters, the measure of He et al., "Soft Filter Pruning for Accelerating Deep CNNs", IJCAI 2018, equation 2 with p = 2: s_j = sqrt(sum F_j^2). */
import { addByUnit, weightAxes, type WeightCriterion, weightsOf } from './criterion.ts'

/** Adds up the norms of the filters that produce a channel: one of each producer, where a stream has several. */
export const l2: WeightCriterion = {
  name: 'l2',
  needs: 'weights',
  score(group) {
    const scores = new Float64Array(group.channels)
    for (const member of weightAxes(group.producers)) {
      const squares = new Float64Array(group.channels)
      addByUnit(member, group.channels, weightsOf(member), (w) => w * w, squares)
      squares.forEach((sum, k) => (scores[k] = scores[k]! + Math.sqrt(sum)))
    }
    return scores
  },
}
