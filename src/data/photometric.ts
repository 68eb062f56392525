/** @file SSD's photometric augmentation on the bytes of a resized image: brightness, contrast, saturation, hue, each with chance 1/2. */
import type { Image } from '../detection/annotation.ts'
import type { Rect } from '../detection/preprocess.ts'
import type { Rng } from '../tensor/rng.ts'

/** What is done to every pixel, in this order: brightness, contrast if first, saturation and hue, contrast if last. */
export interface PhotometricDraw {
  /** Added to each channel, -32..32. */
  readonly brightness: number
  /** Factor, 0.5..1.5. */
  readonly contrast: number
  readonly contrastFirst: boolean
  /** Factor on HSV saturation, 0.5..1.5. */
  readonly saturation: number
  /** Degrees on the colour wheel, -18..18. */
  readonly hue: number
}

export function samplePhotometric(rng: Rng, kind: 'full' | 'light'): PhotometricDraw {
  const maybe = (low: number, high: number, neutral: number): number => {
    const value = rng.uniform(low, high)
    return rng.next() < 0.5 ? value : neutral
  }
  const brightness = maybe(-32, 32, 0)
  const contrastFirst = rng.next() < 0.5
  const contrast = maybe(0.5, 1.5, 1)
  if (kind === 'light') return { brightness, contrast, contrastFirst, saturation: 1, hue: 0 }
  return { brightness, contrast, contrastFirst, saturation: maybe(0.5, 1.5, 1), hue: maybe(-18, 18, 0) }
}

/** Changes the pixels of `rect` in place; the filled border around a placed image keeps its colour. */
export function applyPhotometric(image: Image, rect: Rect, draw: PhotometricDraw): void {
  const { brightness, contrast, contrastFirst, saturation, hue } = draw
  const coloured = saturation !== 1 || hue !== 0
  const before = contrastFirst ? contrast : 1
  const after = contrastFirst ? 1 : contrast
  // One table for what is the same for every channel and comes first.
  const table = Float32Array.from({ length: 256 }, (_, v) => Math.max(0, (v + brightness) * before))
  const { data, width } = image
  const turn = hue / 60
  for (let y = rect.y; y < rect.y + rect.height; y++) {
    const end = (y * width + rect.x + rect.width) * 3
    for (let i = (y * width + rect.x) * 3; i < end; i += 3) {
      let r = table[data[i]!]!
      let g = table[data[i + 1]!]!
      let b = table[data[i + 2]!]!
      if (coloured) {
        const value = r > g ? (r > b ? r : b) : g > b ? g : b
        const low = r < g ? (r < b ? r : b) : g < b ? g : b
        const chroma = value - low
        if (chroma > 0) {
          let sector = value === r ? (g - b) / chroma : value === g ? 2 + (b - r) / chroma : 4 + (r - g) / chroma
          sector += turn
          if (sector < 0) sector += 6
          else if (sector >= 6) sector -= 6
          const spread = Math.min(value, chroma * saturation)
          const base = value - spread
          const whole = Math.floor(sector)
          const rising = base + spread * (sector - whole)
          const falling = base + spread * (1 - sector + whole)
          if (whole === 0) { r = value; g = rising; b = base }
          else if (whole === 1) { r = falling; g = value; b = base }
          else if (whole === 2) { r = base; g = value; b = rising }
          else if (whole === 3) { r = base; g = falling; b = value }
          else if (whole === 4) { r = rising; g = base; b = value }
          else { r = value; g = base; b = falling }
        }
      }
      data[i] = toByte(r * after)
      data[i + 1] = toByte(g * after)
      data[i + 2] = toByte(b * after)
    }
  }
}

function toByte(value: number): number {
  return value >= 255 ? 255 : value + 0.5 // a byte array cuts off the fraction
}
