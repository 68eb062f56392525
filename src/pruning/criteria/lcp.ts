/** @file LCP's importance (arXiv 1911.02237): S_k = sum over kernel positions and output channels of (dL/dW[:,k])^2. */
import { addByUnit, type Criterion, weightAxes } from './criterion.ts'

/** Squares the gradient of L_re + alpha L_a by the consumers' weights, accumulated over the subset first; several consumers add up. */
export const lcp: Criterion = {
  name: 'lcp',
  needs: 'gradients',
  score(group, { gradient }) {
    if (!gradient) throw new Error('lcp scores need gradients')
    const scores = new Float64Array(group.channels)
    for (const member of weightAxes(group.consumers)) addByUnit(member, group.channels, gradient(member.value.name), (g) => g * g, scores)
    return scores
  },
}
