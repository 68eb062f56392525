/** @file Random scores: what any criterion has to beat. */
import type { WeightCriterion } from './criterion.ts'

/** Uniform scores; each group's depend on the seed and the group's name alone. */
export const random: WeightCriterion = {
  name: 'random',
  needs: 'weights',
  score(group, { rng }) {
    const own = rng.fork(group.id)
    return Float64Array.from({ length: group.channels }, () => own.next())
  },
}
