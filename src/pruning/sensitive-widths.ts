/** @file Widths by sensitivity: where the outputs suffer least a multiply-accumulate (or parameter) saved, channels go first. */
import type { Budget } from './budget.ts'
import { exchangeWidths } from './exchange-widths.ts'
import type { BudgetOptions } from './goals.ts'
import { leastWidth, narrowerWidth } from './group-widths.ts'
import type { GroupSensitivity } from './sensitivity.ts'

/** Shares of a group's channels at which harm is measured. The first cuts tell most: few groups lose more than half. */
export const widthShares = [0.125, 0.25, 0.5, 0.75] as const

/** Squared harm of a group without any channels, at least: outputs wrong by twice their size. */
const worst = 4

export interface SensitiveOptions extends BudgetOptions {
  /** Measured on `groups`, by ranks that favour no criterion; groups that are not there keep their width. */
  readonly sensitivity: readonly GroupSensitivity[]
  /** Share (0 to 1) of its channels that no group loses more of; default 1, down to the minimum width. */
  readonly limit?: number
}

/**
 * Widths that remove at least the asked fractions with a small sum of squared harms: harms of single cuts, relative errors of the outputs, add up
 * in squares where they are independent. Step by step, the group whose harm grows least for what it saves gives one rounding step; a group's growth
 * is looked at over every number of steps, so that a plateau behind a first hard step is seen. Throws UserError where the budget cannot be met.
 */
export function sensitiveWidths(options: SensitiveOptions): Budget {
  const { groups } = options
  const harms = new Map(options.sensitivity.map(({ group, cuts }) => [group.id, curveOf(cuts)]))
  const least = groups.map((g) => (harms.has(g.id) ? leastWidth(g, options, options.limit) : g.channels))
  return exchangeWidths(options, least, {
    price(index, from, next, saved) {
      const group = groups[index]!
      const harmAt = (width: number): number => harms.get(group.id)!(1 - width / group.channels)
      // Costs are linear in one width as long as the others stay.
      const each = saved / (from - next)
      let lowest = Infinity
      for (let width: number | undefined = next; width !== undefined && width >= least[index]!; width = narrowerWidth(group, width, options)) lowest = Math.min(lowest, (harmAt(width) - harmAt(from)) / (each * (from - width)))
      return lowest
    },
  })
}

/** Squared harm by the share that is cut: through the measured points, which never fall. */
function curveOf(cuts: GroupSensitivity['cuts']): (share: number) => number {
  const points: { share: number; harm: number }[] = [{ share: 0, harm: 0 }]
  for (const { share, harm } of cuts) {
    // Outputs that are not finite are as bad as can be.
    points.push({ share, harm: Math.max(points.at(-1)!.harm, Number.isFinite(harm) ? harm ** 2 : worst) })
  }
  points.push({ share: 1, harm: Math.max(2 * points.at(-1)!.harm, worst) })
  return (share) => {
    const at = Math.max(1, points.findIndex((p) => p.share >= share))
    const [low, high] = [points[at - 1]!, points[at]!]
    return low.harm + ((high.harm - low.harm) * (share - low.share)) / (high.share - low.share)
  }
}
