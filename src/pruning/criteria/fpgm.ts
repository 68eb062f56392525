/**
 * @file Filter pruning via geometric median: He et al., CVPR 2019, equations 5 and 6: s_j = sum_k ||F_j - F_k||_2 over the filters of the layer. A filter near
 * all others, about the median, says what they say between them; it goes first, however large it is.
 */
import { unitVectors, weightAxes, type WeightCriterion, weightsOf } from './criterion.ts'

/** Adds up the sums of distances over the producers, where a stream has several. */
export const fpgm: WeightCriterion = {
  name: 'fpgm',
  needs: 'weights',
  score({ producers, channels }) {
    const scores = new Float64Array(channels)
    for (const member of weightAxes(producers)) {
      const filters = unitVectors(member, channels, weightsOf(member))
      for (let j = 0; j < channels; j++) {
        for (let k = 0; k < j; k++) {
          const apart = distance(filters[j]!, filters[k]!)
          scores[j] = scores[j]! + apart
          scores[k] = scores[k]! + apart
        }
      }
    }
    return scores
  },
}

function distance(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2
  return Math.sqrt(sum)
}
