/** @file L1 norm of filters: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.1: s_j = sum |F_j|. */
import { addByUnit, weightAxes, type WeightCriterion, weightsOf } from './criterion.ts'

/** Sums |w| over the weights that produce a channel (all producers, where a stream has several). */
export const l1: WeightCriterion = {
  name: 'l1',
  needs: 'weights',
  score(group) {
    const scores = new Float64Array(group.channels)
    for (const member of weightAxes(group.producers)) addByUnit(member, group.channels, weightsOf(member), Math.abs, scores)
    return scores
  },
}
