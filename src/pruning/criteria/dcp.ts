/**
 * @file Discrimination-aware channel pruning: Zhuang et al., NeurIPS 2018, equation 8: S_k = sum_j ||dL/dW[j,k]||_F over output channels j, with L = L_re + L_S and greedy
 * selection from zero weights (algorithm 2). L_S there is the cross-entropy of a classifier on the globally pooled map, which says nothing of images with many objects; here
 * the auxiliary network pools RoIAlign(F, A) of each ground-truth box A, and takes the cross-entropy of its class: no GIoU, no context.
 */
import { lcpAux } from '../../train/aux-task.ts'
import { type JointCriterion, layoutOf, weightAxes } from './criterion.ts'

/** Norms over kernel positions are added up over output channels, unsquared; several consumers add up. */
export const dcp: JointCriterion = {
  name: 'dcp',
  needs: 'joint',
  score(group, { gradient }) {
    const scores = new Float64Array(group.channels)
    for (const member of weightAxes(group.consumers)) {
      const g = gradient(member.value.name)
      const { inner, length, outer } = layoutOf(member)
      // The output channels lie on the weight's first axis, unless the input channels do (Gemm of [C,M], ConvTranspose): then on the second.
      const first = member.axis > 0
      const outputs = member.value.initializer!.dims[first ? 0 : 1] ?? 1
      const squares = new Float64Array(outputs)
      for (let k = 0; k < group.channels; k++) {
        squares.fill(0)
        for (let i = 0; i < member.perUnit; i++) {
          const index = member.indices[k * member.perUnit + i]!
          for (let o = 0; o < outer; o++) {
            for (let j = 0; j < inner; j++) {
              const output = first ? Math.floor((o * outputs) / outer) : Math.floor((j * outputs) / inner)
              squares[output] = squares[output]! + g[(o * length + index) * inner + j]! ** 2
            }
          }
        }
        scores[k] = scores[k]! + squares.reduce((sum, s) => sum + Math.sqrt(s), 0)
      }
    }
    return scores
  },
  // Block 1 is the paper's, one pass over the images for each channel that stays; 8 is for what it costs.
  defaults: { aux: { ...lcpAux, roi: 'truth', m: 0 }, select: 'greedy', block: 8 },
}
