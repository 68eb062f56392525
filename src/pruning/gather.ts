/** @file Gathers classes of slots that reach the same axes in the same way. */
import type { AxisSlots, SlotTable } from './slots.ts'

/** Classes with the same axes and as many indices on each. */
export interface GatheredClasses {
  readonly units: number
  /** Why they stay whole. */
  readonly reason: string | undefined
  /** In the order of the slot table. */
  readonly members: ReadonlyMap<AxisSlots, { readonly perUnit: number; readonly indices: Int32Array }>
}

/**
 * The classes that hold a slot of one of `seeds`. Units, and the results themselves, are in the order in which the seeds' slots
 * come. Two passes over all slots and no object a class: a large model has 10^5 slots.
 */
export function gatherClasses(slots: SlotTable, seeds: readonly AxisSlots[]): GatheredClasses[] {
  const numbers = new Map<number, number>()
  for (const axis of seeds) {
    for (let i = 0; i < axis.length; i++) {
      const root = slots.find(axis.start + i)
      if (!numbers.has(root)) numbers.set(root, numbers.size)
    }
  }
  const roots = [...numbers.keys()]
  const counts = new Int32Array(roots.length)
  /** Calls `visit` for every slot of a class on an axis, then `close` once for each class met there. */
  const scan = (axis: AxisSlots, visit: (c: number, index: number) => void, close: (c: number) => void): void => {
    const met: number[] = []
    for (let i = 0; i < axis.length; i++) {
      const c = numbers.get(slots.find(axis.start + i))
      if (c === undefined) continue
      visit(c, i)
      if (counts[c]!++ === 0) met.push(c)
    }
    for (const c of met) {
      close(c)
      counts[c] = 0
    }
  }

  // Signatures are nodes of a tree whose edges are (axis, number of indices).
  const edges: Map<number, number>[] = [new Map(), new Map()]
  const signature = Int32Array.from(roots, (root) => (slots.reasonOf(root) === undefined ? 0 : 1))
  const longest = slots.axes.reduce((n, axis) => Math.max(n, axis.length), 0) + 1
  slots.axes.forEach((axis, number) => {
    scan(axis, () => {}, (c) => {
      const from = edges[signature[c]!]!
      const edge = number * longest + counts[c]!
      let to = from.get(edge)
      if (to === undefined) {
        to = edges.length
        edges.push(new Map())
        from.set(edge, to)
      }
      signature[c] = to
    })
  })

  const gathered = new Map<number, { units: number; reason: string | undefined; members: Map<AxisSlots, { perUnit: number; indices: Int32Array }> }>()
  const unitOf = Int32Array.from(roots, (root, c) => {
    let group = gathered.get(signature[c]!)
    if (!group) gathered.set(signature[c]!, (group = { units: 0, reason: slots.reasonOf(root), members: new Map() }))
    return group.units++
  })
  for (const axis of slots.axes) {
    const places: number[] = []
    scan(axis, (c, index) => void places.push(c, index, counts[c]!), (c) => {
      const { members, units } = gathered.get(signature[c]!)!
      const perUnit = counts[c]!
      if (!members.has(axis)) members.set(axis, { perUnit, indices: new Int32Array(units * perUnit) })
    })
    for (let p = 0; p < places.length; p += 3) {
      const c = places[p]!
      const { perUnit, indices } = gathered.get(signature[c]!)!.members.get(axis)!
      indices[unitOf[c]! * perUnit + places[p + 2]!] = places[p + 1]!
    }
  }
  return [...gathered.values()]
}
