/** @file Seeded random numbers, passed explicitly: the same seed gives the same run. */

/** A seeded generator (sfc32). Every random choice in the project draws from one that was handed to it. */
export interface Rng {
  /** Uniform in [0, 1). */
  next(): number
  /** Uniform integer in [0, n). */
  int(n: number): number
  /** Uniform in [low, high). */
  uniform(low: number, high: number): number
  /** Standard normal (Box-Muller). */
  normal(): number
  /** An independent generator named by `label`: order of use elsewhere does not change it. */
  fork(label: string | number): Rng
}

export function createRng(seed: number | string): Rng {
  const state = seedState(String(seed))
  const next = (): number => {
    // sfc32: passes PractRand, 128 bits of state, integer operations only, so equal on every engine.
    const t = (((state[0]! + state[1]!) | 0) + state[3]!) | 0
    state[3] = (state[3]! + 1) | 0
    state[0] = state[1]! ^ (state[1]! >>> 9)
    state[1] = (state[2]! + (state[2]! << 3)) | 0
    state[2] = (state[2]! << 21) | (state[2]! >>> 11)
    state[2] = (state[2]! + t) | 0
    return (t >>> 0) / 4294967296
  }
  for (let i = 0; i < 12; i++) next()
  const name = String(seed)
  return {
    next,
    int: (n) => Math.floor(next() * n),
    uniform: (low, high) => low + (high - low) * next(),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    fork: (label) => createRng(`${name}/${label}`),
  }
}

/** A shuffled copy (Fisher-Yates). */
export function shuffled<T>(items: readonly T[], rng: Rng): T[] {
  const out = items.slice()
  for (let i = out.length - 1; i > 0; i--) {
    const j = rng.int(i + 1)
    const a = out[i]!
    out[i] = out[j]!
    out[j] = a
  }
  return out
}

function seedState(text: string): Int32Array {
  // FNV-1a over the text, four times with different offsets.
  const out = new Int32Array(4)
  for (let k = 0; k < 4; k++) {
    let h = (0x811c9dc5 ^ Math.imul(k + 1, 0x9e3779b9)) | 0
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
    out[k] = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  }
  return out
}
