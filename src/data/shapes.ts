/** @file The built-in data set `shapes`: drawn from a seed, for demonstrations and tests without any download. */
import type { Dataset, GroundTruth, Image, Sample } from '../detection/annotation.ts'
import { UserError } from '../tensor/error.ts'
import { createRng, type Rng } from '../tensor/rng.ts'
import { everything } from './files.ts'
import { painter, sampleBackground, sampleInk, type Texture } from './shapes-paint.ts'
import { coverage, shapeNames, type Shape } from './shapes-geometry.ts'

export interface ShapesOptions {
  readonly seed: number | string
  readonly split: string
  /** Images; default 600 train, 100 val, 200 test. */
  readonly count?: number
  /** Side of the square images, pixels. Default 160. */
  readonly size?: number
}

export interface Shapes {
  readonly dataset: Dataset
  /** Draws one sample of `dataset`: the same bytes each time. */
  image(sample: { readonly id: string }): Image
}

/** The splits, and how many images each has when no count is asked for. */
export const shapesCounts: Readonly<Record<string, number>> = { train: 600, val: 100, test: 200 }
const maxObjects = 5
const triesPerObject = 20
/** Sides of objects as shares of the image's side. */
const smallest = 0.08
const largest = 0.6
/** Below 1: more large objects than small ones. */
const sizeBias = 0.6
/** Either way, radians: upright enough for small detectors to learn from a few hundred images. */
const maxTilt = Math.PI / 7
/** Less than this visible share, and the arrangement is drawn anew. */
const leastVisible = 0.4
/** Less than this share within the image, likewise. */
const leastInside = 0.75

interface PlacedShape extends Shape {
  readonly label: number
  readonly ink: Texture
}
interface Scene {
  readonly background: Texture
  /** Back to front. */
  readonly shapes: readonly PlacedShape[]
  readonly noise: number
}

export function shapesDataset(options: ShapesOptions): Shapes {
  const { seed, split, size = 160 } = options
  const count = options.count ?? shapesCount(split)
  if (count === undefined) throw new UserError(`shapes has no split "${split}"; it has ${[...Object.keys(shapesCounts), everything].map((name) => `"${name}"`).join(', ')}`)
  if (!(size >= 32)) throw new UserError(`shapes: images of ${size} pixels are too small to show anything; the least is 32`)
  if (!(count >= 1)) throw new UserError(`shapes: ${count} images make no data set; ask for at least 1`)
  const root = createRng(seed).fork('shapes')
  const scenes = new Map<string, { scene: Scene; rng: Rng }>()
  const samples: Sample[] = []
  for (const [part, i] of places(split, count)) {
    const id = `${part}-${String(i).padStart(4, '0')}`
    const rng = root.fork(part).fork(i)
    const { scene, truth } = arrange(rng.fork('scene'), size)
    scenes.set(id, { scene, rng })
    samples.push({ id, path: `shapes/${id}`, width: size, height: size, truth })
  }
  return {
    dataset: { format: 'shapes', split, classes: shapeNames, samples, problems: [], skipped: [] },
    image({ id }) {
      const entry = scenes.get(id)
      if (!entry) throw new RangeError(`shapes has no sample "${id}"`)
      return draw(entry.scene, entry.rng.fork('noise'), size)
    },
  }
}

/** How many images a split has, "all" too; undefined where there is no such split. */
export function shapesCount(split: string): number | undefined {
  return split === everything ? Object.values(shapesCounts).reduce((sum, n) => sum + n, 0) : shapesCounts[split]
}

/** The first `count` images: of which split, and their number in it. "all" is the splits one after the other. */
function places(split: string, count: number): (readonly [part: string, i: number])[] {
  const numbers = (part: string, n: number) => Array.from({ length: n }, (_, i) => [part, i] as const)
  return split === everything ? Object.entries(shapesCounts).flatMap(([part, n]) => numbers(part, n)).slice(0, count) : numbers(split, count)
}

/** Picks what is shown, and its truth: extents of the shapes within the image, whether or not others hide a part. */
function arrange(rng: Rng, size: number): { scene: Scene; truth: GroundTruth } {
  const background = sampleBackground(rng)
  const wanted = 1 + rng.int(maxObjects)
  const shapes: PlacedShape[] = []
  const boxes: number[][] = []
  const stack = createStack(size)
  for (let i = 0; i < wanted; i++) {
    for (let attempt = 0; attempt < triesPerObject; attempt++) {
      const side = size * smallest * (largest / smallest) ** (rng.next() ** sizeBias)
      const label = rng.int(shapeNames.length)
      const shape = { kind: shapeNames[label]!, x: rng.uniform(0, size), y: rng.uniform(0, size), side, angle: rng.uniform(-maxTilt, maxTilt) }
      const { pixels, box, inside } = extentOf(shape, size)
      if (inside < leastInside || !stack.put(pixels)) continue
      shapes.push({ ...shape, label, ink: sampleInk(rng, background) })
      boxes.push(box)
      break
    }
  }
  const n = shapes.length
  const truth: GroundTruth = {
    boxes: Float32Array.from(boxes.flat()),
    labels: Int32Array.from(shapes, (s) => s.label),
    crowd: new Uint8Array(n),
    difficult: new Uint8Array(n),
    areas: Float32Array.from(boxes, ([x1, y1, x2, y2]) => (x2! - x1!) * (y2! - y1!)),
  }
  return { scene: { background, shapes, noise: rng.uniform(2, 10) }, truth }
}

/** Which pixels of the image the shape covers at least by half, their extent (xyxy), and which share of the shape lies within the image. */
function extentOf(shape: Shape, size: number): { pixels: number[]; box: number[]; inside: number } {
  const pixels: number[] = []
  let [x1, y1, x2, y2] = [size, size, 0, 0]
  let all = 0
  const cover = coverage(shape)
  eachPixel(shape, -Infinity, Infinity, (x, y) => {
    if (cover(x, y) < 0.5) return
    all++
    if (x < 0 || y < 0 || x >= size || y >= size) return
    pixels.push(y * size + x)
    x1 = Math.min(x1, x)
    y1 = Math.min(y1, y)
    x2 = Math.max(x2, x + 1)
    y2 = Math.max(y2, y + 1)
  })
  return { pixels, box: [x1, y1, x2, y2], inside: all === 0 ? 0 : pixels.length / all }
}

/** Shapes on top of each other. `put` refuses one that would hide too much of another. */
function createStack(size: number): { put(pixels: readonly number[]): boolean } {
  const top = new Int8Array(size * size).fill(-1)
  const whole: number[] = []
  const shown: number[] = []
  return {
    put(pixels) {
      const left = shown.slice()
      for (const pixel of pixels) if (top[pixel]! >= 0) left[top[pixel]!]!--
      if (left.some((count, k) => count < leastVisible * whole[k]!)) return false
      for (const pixel of pixels) top[pixel] = whole.length
      left.forEach((count, k) => (shown[k] = count))
      whole.push(pixels.length)
      shown.push(pixels.length)
      return true
    },
  }
}

function draw(scene: Scene, rng: Rng, size: number): Image {
  const canvas = new Float32Array(size * size * 3)
  const color = new Float32Array(3)
  const ground = painter(scene.background, size)
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      ground(x, y, color)
      canvas.set(color, (y * size + x) * 3)
    }
  }
  for (const shape of scene.shapes) {
    const cover = coverage(shape)
    const paint = painter(shape.ink, size)
    eachPixel(shape, 0, size, (x, y) => {
      const share = cover(x, y)
      if (share <= 0) return
      paint(x, y, color)
      for (let c = 0; c < 3; c++) {
        const at = (y * size + x) * 3 + c
        canvas[at] = canvas[at]! + (color[c]! - canvas[at]!) * share
      }
    })
  }
  const data = new Uint8Array(canvas.length)
  for (let i = 0; i < data.length; i++) {
    // The sum of a draw's four bytes is close to normal, with mean 510 and deviation 147.8.
    const bits = (rng.next() * 2 ** 32) >>> 0
    const grain = ((bits & 255) + ((bits >>> 8) & 255) + ((bits >>> 16) & 255) + (bits >>> 24) - 510) / 147.8
    data[i] = Math.min(255, Math.max(0, Math.round(canvas[i]! + grain * scene.noise)))
  }
  return { width: size, height: size, data }
}

/** Every pixel, in [low, high), that the shape can touch. */
function eachPixel(shape: Shape, low: number, high: number, visit: (x: number, y: number) => void): void {
  const reach = shape.side * 0.75 + 1
  for (let y = Math.max(low, Math.floor(shape.y - reach)); y < Math.min(high, Math.ceil(shape.y + reach)); y++) {
    for (let x = Math.max(low, Math.floor(shape.x - reach)); x < Math.min(high, Math.ceil(shape.x + reach)); x++) visit(x, y)
  }
}
