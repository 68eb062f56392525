/** @file Stable sorts of indices by whole numbers and by scores, in a time that grows with their number alone. */

/** 0, 1 .. count - 1 */
export function countUp(count: number): Int32Array {
  const out = new Int32Array(count)
  for (let i = 0; i < count; i++) out[i] = i
  return out
}

/** Counting sort of `indices` by key (`keys[i]` in 0..keyCount-1), stable; `start[k]` is where key k begins. */
export function sortByKey(indices: Int32Array, keys: Int32Array, keyCount: number): { order: Int32Array; start: Int32Array } {
  const start = new Int32Array(keyCount + 1)
  for (let n = 0; n < indices.length; n++) start[keys[indices[n]!]! + 1]!++
  for (let k = 0; k < keyCount; k++) start[k + 1]! += start[k]!
  const next = start.slice()
  const order = new Int32Array(indices.length)
  for (let n = 0; n < indices.length; n++) order[next[keys[indices[n]!]!]!++] = indices[n]!
  return { order, start }
}

const digits = 4
const digitValues = 1 << 16

/** `indices` with the largest score first, stable: a radix sort over the four 16-bit digits of a float64. Scores are finite. */
export function sortDescending(indices: Int32Array, scores: Float64Array): Int32Array {
  const bits = new Uint16Array(scores.map((score) => score + 0).buffer) // -0 + 0 is 0: they are equal
  // Bit patterns rise with the size of a number, whatever its sign; turned over, those of positive numbers fall, before all negative ones.
  for (let i = 0; i < scores.length; i++) {
    if (scores[i]! < 0) continue
    for (let digit = 0; digit < digits; digit++) bits[digits * i + digit]! ^= digit === digits - 1 ? 0x7fff : 0xffff
  }
  const key = new Int32Array(scores.length)
  let order = indices
  for (let digit = 0; digit < digits; digit++) {
    for (let i = 0; i < key.length; i++) key[i] = bits[digits * i + digit]!
    order = sortByKey(order, key, digitValues).order
  }
  return order
}
