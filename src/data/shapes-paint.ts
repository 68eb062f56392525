/** @file Colours and textures of the data set `shapes`: gradients, stripes and value noise between two colours. */
import type { Rng } from '../tensor/rng.ts'

type Color = readonly [number, number, number]

/** A pattern between two colours, over the unit square. */
export interface Texture {
  readonly kind: 'plain' | 'gradient' | 'stripes' | 'noise'
  readonly a: Color
  readonly b: Color
  /** Direction of gradients and stripes, radians. */
  readonly angle: number
  /** Stripes, or cells of noise, over the image's side. */
  readonly frequency: number
  readonly phase: number
  /** Key of the noise lattice. */
  readonly key: number
}

const octaves = 3

export function sampleBackground(rng: Rng): Texture {
  const kind = (['gradient', 'stripes', 'noise', 'noise'] as const)[rng.int(4)]!
  const a = sampleColor(rng)
  const b = nearColor(rng, a, 60)
  return { kind, a, b, angle: rng.uniform(0, Math.PI), frequency: rng.uniform(3, 9), phase: rng.next(), key: rng.int(2 ** 31) }
}

/** A shape's own texture; its colours stand out from the background, though not always by much. */
export function sampleInk(rng: Rng, background: Texture): Texture {
  const middle = mix(background.a, background.b, 0.5)
  let a = sampleColor(rng)
  for (let i = 0; i < 20 && contrast(a, middle) < 60; i++) a = sampleColor(rng)
  const kind = (['plain', 'gradient', 'stripes', 'noise'] as const)[rng.int(4)]!
  return { kind, a, b: nearColor(rng, a, 40), angle: rng.uniform(0, Math.PI), frequency: rng.uniform(5, 14), phase: rng.next(), key: rng.int(2 ** 31) }
}

/** The texture over an image of `size` pixels: a function that writes the colour of pixel (x, y) to `out`. */
export function painter(texture: Texture, size: number): (x: number, y: number, out: Float32Array) => void {
  const shade = shader(texture, size)
  const { a, b } = texture
  const step = b.map((v, c) => v - a[c]!)
  return (x, y, out) => {
    const t = shade(x / size, y / size)
    out[0] = a[0] + step[0]! * t
    out[1] = a[1] + step[1]! * t
    out[2] = a[2] + step[2]! * t
  }
}

/** Share of colour b at (u, v), both in [0, 1). */
function shader(texture: Texture, size: number): (u: number, v: number) => number {
  const { kind, frequency, phase } = texture
  if (kind === 'plain') return () => 0
  if (kind === 'noise') return valueNoise(texture)
  const cos = Math.cos(texture.angle)
  const sin = Math.sin(texture.angle)
  if (kind === 'gradient') return (u, v) => Math.min(1, Math.max(0, (u - 0.5) * cos + (v - 0.5) * sin + 0.5))
  // Finer stripes than the pixels can show would be noise.
  const waves = Math.min(frequency, size / 4)
  return (u, v) => 0.5 + 0.5 * Math.sin(2 * Math.PI * (((u - 0.5) * cos + (v - 0.5) * sin) * waves + phase))
}

function valueNoise({ frequency, key }: Texture): (u: number, v: number) => number {
  const layers = Array.from({ length: octaves }, (_, i) => latticeNoise(frequency * 2 ** i, key + i))
  const total = 2 - 2 ** (1 - octaves)
  return (u, v) => {
    let sum = 0
    let strength = 1 / total
    for (const layer of layers) {
      sum += strength * layer(u, v)
      strength /= 2
    }
    // Averages crowd around the middle; this spreads them again.
    return Math.min(1, Math.max(0, (sum - 0.5) * 2 + 0.5))
  }
}

/** Smooth noise through random values on a lattice of `cells` to the side. */
function latticeNoise(cells: number, key: number): (u: number, v: number) => number {
  const width = Math.floor(cells) + 2
  const values = Float32Array.from({ length: width * width }, (_, i) => hash(i, key))
  return (u, v) => {
    const x = Math.floor(u * cells)
    const y = Math.floor(v * cells)
    const dx = u * cells - x
    const dy = v * cells - y
    const fx = dx * dx * (3 - 2 * dx)
    const fy = dy * dy * (3 - 2 * dy)
    const at = y * width + x
    const top = values[at]! + (values[at + 1]! - values[at]!) * fx
    const bottom = values[at + width]! + (values[at + width + 1]! - values[at + width]!) * fx
    return top + (bottom - top) * fy
  }
}

/** In [0, 1). */
function hash(index: number, key: number): number {
  let h = (Math.imul(index + 1, 0x27d4eb2d) ^ key) | 0
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39)
  return ((h ^ (h >>> 15)) >>> 0) / 4294967296
}

function sampleColor(rng: Rng): Color {
  return [rng.uniform(10, 245), rng.uniform(10, 245), rng.uniform(10, 245)]
}

function nearColor(rng: Rng, color: Color, reach: number): Color {
  const near = (v: number): number => Math.min(250, Math.max(5, v + rng.uniform(-reach, reach)))
  return [near(color[0]), near(color[1]), near(color[2])]
}

function mix(a: Color, b: Color, t: number): Color {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/** Mean difference of the channels. */
function contrast(a: Color, b: Color): number {
  return (Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]) + Math.abs(a[2] - b[2])) / 3
}
