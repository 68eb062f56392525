/**
 * @file First-order Taylor expansion of the loss: Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equations 8 and 9 with gates:
 * I_k = (dL/dz_k)^2 = (sum over the slice of w dL/dw)^2, a mean over batches, z_k = 1 a factor on channel k. L is the detector's own loss on the detector as it came.
 */
import type { LossCriterion } from './criterion.ts'

/**
 * The factor stands where the cut acts: on what all consumers read. So dL/dz_k is to first order what the loss would lose by channel k, and several consumers add
 * up before the square.
 */
export const taylor: LossCriterion = {
  name: 'taylor',
  needs: 'loss',
  score(group, { gates }) {
    const batches = gates(group)
    return Float64Array.from({ length: group.channels }, (_, k) => batches.reduce((sum, gate) => sum + gate[k]! ** 2, 0) / batches.length)
  },
}
