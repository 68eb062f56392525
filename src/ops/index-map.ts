/** @file Index maps: immutable relations between the indices of two axes. */

/** How index i of axis `from` is bound to indices of axis `to`. */
export type IndexMap =
  /** i <-> i */
  | { readonly kind: 'identity' }
  /** i <-> i + by (Concat, Split, Pad: `from` is a part of `to`) */
  | { readonly kind: 'offset'; readonly by: number }
  /** i <-> i * size + 0..size-1 (Flatten: one channel is a block of features) */
  | { readonly kind: 'block'; readonly size: number }
  /** i <-> i + k * stride, k = 0..count-1 (the same channel of every group) */
  | { readonly kind: 'repeat'; readonly stride: number; readonly count: number }
  /** i <-> every index of its own block of `size`, on one axis (a group that goes as a whole) */
  | { readonly kind: 'within'; readonly size: number }
  /** start + j * step <-> j (Slice: `to` is a part of `from`) */
  | { readonly kind: 'slice'; readonly start: number; readonly step: number }
  /** table[j] <-> j (Gather) */
  | { readonly kind: 'table'; readonly table: readonly number[] }

export const identity: IndexMap = { kind: 'identity' }
export const offset = (by: number): IndexMap => ({ kind: 'offset', by })
export const block = (size: number): IndexMap => ({ kind: 'block', size })
export const repeat = (stride: number, count: number): IndexMap => ({ kind: 'repeat', stride, count })
export const within = (size: number): IndexMap => ({ kind: 'within', size })
export const slice = (start: number, step = 1): IndexMap => ({ kind: 'slice', start, step })
export const table = (indices: readonly number[]): IndexMap => ({ kind: 'table', table: indices })

/** Calls `visit(i, j)` for every bound pair, i of an axis of length `from`, j of one of length `to`; pairs outside either are left out. */
export function forEachPair(map: IndexMap, from: number, to: number, visit: (i: number, j: number) => void): void {
  const put = (i: number, j: number): void => {
    if (i >= 0 && i < from && j >= 0 && j < to) visit(i, j)
  }
  switch (map.kind) {
    case 'identity':
      for (let i = 0; i < from; i++) put(i, i)
      return
    case 'offset':
      for (let i = 0; i < from; i++) put(i, i + map.by)
      return
    case 'block':
      for (let i = 0; i < from; i++) for (let k = 0; k < map.size; k++) put(i, i * map.size + k)
      return
    case 'repeat':
      for (let i = 0; i < from; i++) for (let k = 0; k < map.count; k++) put(i, i + k * map.stride)
      return
    case 'within':
      // The first of each block stands for it: pairs with it tie all.
      for (let i = 0; i < from; i++) put(i, i - (i % map.size))
      return
    case 'slice':
      for (let j = 0; j < to; j++) put(map.start + j * map.step, j)
      return
    case 'table':
      map.table.forEach((i, j) => put(i, j))
  }
}
