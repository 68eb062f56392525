/** @file Global ranking: the channels of all groups in one order, by scores that are comparable between groups. */
import type { Shares } from './budget.ts'
import type { ChannelGroup } from './groups.ts'

/** Scores of every unit, by group id; higher is kept. */
export type GroupScores = ReadonlyMap<string, ArrayLike<number>>

/**
 * For a share r of all units: the share of each group's units that is among the best r of all, by s / mean |s| of the group. Scores of layers differ in size
 * by orders, for fan-in and scale do; the division leaves which channels stand out in their own group. What has no size at all goes first. Equal
 * ones go in the order of the groups.
 */
export function globalShares(groups: readonly ChannelGroup[], scores: GroupScores): Shares {
  const ranked = groups.flatMap((group, i) => Array.from(normalized(scores.get(group.id)!), (score) => ({ i, score }))).sort((a, b) => b.score - a.score || a.i - b.i)
  // Of each group, the places of its units in the one order, ascending.
  const ranks = groups.map((): number[] => [])
  ranked.forEach(({ i }, rank) => ranks[i]!.push(rank))
  return (ratio) => {
    const taken = Math.round(ratio * ranked.length)
    return groups.map((group, i) => below(ranks[i]!, taken) / group.channels)
  }
}

/** s / mean |s|; all 0 where the mean is 0. */
function normalized(scores: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(scores)
  const mean = values.reduce((sum, s) => sum + Math.abs(s), 0) / values.length
  return mean > 0 ? values.map((s) => s / mean) : values
}

/** How many of the ascending `ranks` are less than `limit`. */
function below(ranks: readonly number[], limit: number): number {
  let [low, high] = [0, ranks.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ranks[middle]! < limit) low = middle + 1
    else high = middle
  }
  return low
}
