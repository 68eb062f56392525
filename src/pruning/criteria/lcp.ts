/** @file LCP's importance (arXiv 1911.02237): S_k = sum over kernel positions and output channels of (dL/dW[:,k])^2. */
import { addByUnit, type JointCriterion, type StatisticsOf, weightAxes } from './criterion.ts'
import type { ChannelGroup } from '../groups.ts'

/** Squares the gradient by the consumers' weights, accumulated over the subset first; several consumers add up. */
export function squaredGradients(group: ChannelGroup, { gradient }: StatisticsOf['joint']): Float64Array {
  const scores = new Float64Array(group.channels)
  for (const member of weightAxes(group.consumers)) addByUnit(member, group.channels, gradient(member.value.name), (g) => g * g, scores)
  return scores
}

export const lcp: JointCriterion = { name: 'lcp', needs: 'joint', score: squaredGradients, defaults: {} }
