/**
 * @file Reconstruction alone: LCP's joint loss with alpha = 0, so L = L_re = 1/(2Q) sum (F_b - F)^2, in scores and update; S_k as LCP's. No auxiliary network: stages are
 * fine-tuned by the detector's own loss.
 */
import type { JointCriterion } from './criterion.ts'
import { squaredGradients } from './lcp.ts'

export const reconstruction: JointCriterion = { name: 'reconstruction', needs: 'joint', score: squaredGradients, defaults: { aux: undefined, alpha: 0, gamma: 0 } }
