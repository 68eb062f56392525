/** @file How a reshape ties axes: it splits both shapes into the smallest runs of equal size and looks at each run by itself. */
import type { Dim, Value } from '../ir/graph.ts'
import type { ChannelLinks, Link } from './define.ts'
import { block } from './index-map.ts'
import { link, ref } from './rules.ts'

/** Axes (longer than 1) of the input and of the output that hold the same elements. */
interface Run {
  readonly from: readonly number[]
  readonly to: readonly number[]
}

/**
 * Links between the axes of `x` and of its reshaped form `y`. An axis that stays is tied index by index. Where axes are merged or split,
 * the outermost ones are tied in blocks (one channel is H*W features; one group is all of its channels); the others stay whole.
 * Channel shuffles are followed as a whole (shuffle.ts).
 */
export function reshapeLinks(x: Value, y: Value): ChannelLinks {
  const from = x.shape ?? []
  const to = y.shape ?? []
  const links: Link[] = []
  for (const run of runs(from, to)) {
    const a = run.from[0]!
    const b = run.to[0]!
    const outer = ref(x, a)
    const into = ref(y, b)
    if (run.from.length === 1 && run.to.length === 1) {
      links.push(link(outer, into))
      continue
    }
    const m = from[a] as number
    const n = to[b] as number
    if (m % n === 0) links.push(link(into, outer, block(m / n)))
    else if (n % m === 0) links.push(link(outer, into, block(n / m)))
  }
  const tied = (value: Value, axis: number): boolean => links.some((l) => [l.from, l.to].some((at) => at.value === value && at.axis === axis))
  const blocked = [x, y].flatMap((value) =>
    (value.shape ?? []).flatMap((d, axis) => (d === 1 || tied(value, axis) ? [] : [{ ref: ref(value, axis), reason: 'the reshape merges or splits this axis' }])),
  )
  return { links, blocked }
}

/** Runs from the front, and from the back where an unknown length stops the walk. */
function runs(from: readonly Dim[], to: readonly Dim[]): Run[] {
  const a = longAxes(from)
  const b = longAxes(to)
  const front = walk(from, to, a, b)
  const restFrom = a.slice(front.reduce((n, r) => n + r.from.length, 0))
  const restTo = b.slice(front.reduce((n, r) => n + r.to.length, 0))
  const back = walk(from, to, restFrom.reverse(), restTo.reverse())
  return [...front, ...back.map((r) => ({ from: [...r.from].reverse(), to: [...r.to].reverse() }))]
}

function longAxes(shape: readonly Dim[]): number[] {
  return shape.flatMap((d, axis) => (d === 1 ? [] : [axis]))
}

/** Matches axes in the given order until products cannot be compared. */
function walk(from: readonly Dim[], to: readonly Dim[], a: readonly number[], b: readonly number[]): Run[] {
  const out: Run[] = []
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    const run: { from: number[]; to: number[] } = { from: [a[i]!], to: [b[j]!] }
    let x = from[a[i++]!]
    let y = to[b[j++]!]
    // Equal symbols are equal lengths; an axis without elements settles nothing.
    if (x === 0 || y === 0 || x === undefined || y === undefined) break
    while (x !== y) {
      if (typeof x !== 'number' || typeof y !== 'number') return out
      const left: boolean = x < y
      const axis: number | undefined = left ? a[i++] : b[j++]
      const next: Dim = axis === undefined ? undefined : left ? from[axis] : to[axis]
      if (axis === undefined || typeof next !== 'number' || next === 0) return out
      if (left) {
        run.from.push(axis)
        x *= next
      } else {
        run.to.push(axis)
        y *= next
      }
    }
    out.push(run)
  }
  return out
}
