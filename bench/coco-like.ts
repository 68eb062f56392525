/** @file A seeded data set with COCO's proportions: ground truth and detections, as COCO's two JSON files or flat. */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { CocoEvalInput } from '../src/metrics/coco-input.ts'
import { createRng, type Rng } from '../src/tensor/rng.ts'

export interface CocoLike {
  readonly seed: string
  readonly images: number
  readonly classes: number
  /** Mean objects an image; val2017 has 7.3. */
  readonly objects: number
  /** Detections an image, exactly. */
  readonly detections: number
}

/** The case of the goals. */
export const cocoSized: CocoLike = { seed: 'coco-like', images: 5000, classes: 80, objects: 7.3, detections: 100 }

export interface Box {
  label: number
  /** x, y, width, height. */
  bbox: number[]
}

export interface LikeImage {
  truth: (Box & { area: number; crowd: boolean })[]
  detections: (Box & { score: number })[]
}

const width = 640
const height = 480
/** Share of val2017's objects, and side in pixels (root of the segment's area): small, medium, large. */
const sizes = [[0.41, 6, 32], [0.34, 32, 96], [0.25, 96, 380]] as const

/**
 * Objects an image are geometrically distributed, of one to five classes; class frequency falls as 1 / rank. A hundredth are crowds.
 * Detections: most objects are found, some twice or under another class, the rest are strays of low score. Scores have three
 * decimals, so that many are equal.
 */
export function* imagesOf(like: CocoLike): Generator<LikeImage> {
  const rng = createRng(like.seed)
  const harmonic = Array.from({ length: like.classes }, (_, k) => 1 / (k + 1)).reduce<number[]>((sums, v) => [...sums, (sums.at(-1) ?? 0) + v], [])
  const anyClass = (): number => {
    const at = rng.next() * harmonic.at(-1)!
    return Math.min(harmonic.findIndex((sum) => at < sum), like.classes - 1)
  }
  for (let image = 0; image < like.images; image++) {
    const here = Array.from({ length: 1 + rng.int(5) }, anyClass)
    const ofHere = (): number => here[rng.int(here.length)]!
    const count = Math.floor(Math.log(1 - rng.next()) / Math.log(like.objects / (like.objects + 1)))
    const truth = Array.from({ length: count }, () => {
      const bbox = boxOf(rng)
      return { label: ofHere(), bbox, area: cents(bbox[2]! * bbox[3]! * rng.uniform(0.5, 0.9)), crowd: rng.next() < 0.012 }
    })
    const detections: LikeImage['detections'] = []
    for (const { label, bbox } of truth) {
      if (rng.next() > 0.85) continue
      for (let copies = rng.next() < 0.3 ? 2 : 1; copies > 0 && detections.length < like.detections; copies--) {
        const blur = rng.uniform(0.01, 0.12)
        const near = bbox.map((v, i) => cents(i < 2 ? v + rng.normal() * blur * bbox[i + 2]! : v * Math.exp(rng.normal() * blur)))
        detections.push({ label: rng.next() < 0.9 ? label : anyClass(), bbox: near, score: mils(rng.uniform(0.2, 1)) })
      }
    }
    while (detections.length < like.detections) {
      detections.push({ label: rng.next() < 0.5 ? ofHere() : anyClass(), bbox: boxOf(rng), score: mils(rng.next() ** 3 * 0.6) })
    }
    yield { truth, detections }
  }
}

function boxOf(rng: Rng): number[] {
  const share = rng.next()
  const [, from, to] = share < sizes[0][0] ? sizes[0] : share < sizes[0][0] + sizes[1][0] ? sizes[1] : sizes[2]
  // The segment fills 0.7 of its box on average.
  const side = Math.exp(rng.uniform(Math.log(from), Math.log(to))) / Math.sqrt(0.7)
  const aspect = Math.exp(rng.normal() * 0.4)
  const w = Math.min(side * aspect, width)
  const h = Math.min(side / aspect, height)
  return [rng.uniform(0, width - w), rng.uniform(0, height - h), w, h].map(cents)
}

function cents(value: number): number {
  return Math.round(value * 100) / 100
}

function mils(value: number): number {
  return Math.round(value * 1000) / 1000
}

/** Writes the two files; ids begin at 1, as pycocotools wants them. */
export function writeCocoLike(like: CocoLike, truthPath: string, resultsPath: string): void {
  const categories = Array.from({ length: like.classes }, (_, k) => ({ id: k + 1, name: `class ${k + 1}` }))
  const images = Array.from({ length: like.images }, (_, i) => ({ id: i + 1, width, height, file_name: `${i + 1}.jpg` }))
  const truth = openSync(truthPath, 'w')
  const results = openSync(resultsPath, 'w')
  try {
    writeSync(truth, `{"images":${JSON.stringify(images)},"categories":${JSON.stringify(categories)},"annotations":[`)
    writeSync(results, '[')
    let objects = 0
    let image = 0
    for (const { truth: boxes, detections } of imagesOf(like)) {
      const image_id = ++image
      for (const { label, bbox, area, crowd } of boxes) {
        const annotation = { id: objects + 1, image_id, category_id: label + 1, bbox, area, iscrowd: crowd ? 1 : 0 }
        writeSync(truth, `${objects++ > 0 ? ',' : ''}${JSON.stringify(annotation)}`)
      }
      const lines = detections.map(({ label, bbox, score }) => JSON.stringify({ image_id, category_id: label + 1, bbox, score }))
      if (lines.length > 0) writeSync(results, `${image > 1 ? ',' : ''}${lines.join(',')}`)
    }
    writeSync(truth, ']}')
    writeSync(results, ']')
  } finally {
    closeSync(truth)
    closeSync(results)
  }
}

/** The same data, flat. */
export function cocoLikeInput(like: CocoLike): CocoEvalInput {
  const truth = { image: [] as number[], label: [] as number[], boxes: [] as number[], areas: [] as number[], crowd: [] as number[] }
  const N = like.images * like.detections
  const detections = { image: new Int32Array(N), label: new Int32Array(N), boxes: new Float64Array(4 * N), scores: new Float64Array(N) }
  let image = 0
  let d = 0
  for (const { truth: boxes, detections: found } of imagesOf(like)) {
    for (const { label, bbox, area, crowd } of boxes) {
      truth.image.push(image)
      truth.label.push(label)
      truth.boxes.push(...bbox)
      truth.areas.push(area)
      truth.crowd.push(crowd ? 1 : 0)
    }
    for (const { label, bbox, score } of found) {
      detections.image[d] = image
      detections.label[d] = label
      detections.boxes.set(bbox, 4 * d)
      detections.scores[d++] = score
    }
    image++
  }
  return {
    images: like.images, classes: like.classes, detections,
    truth: {
      image: Int32Array.from(truth.image), label: Int32Array.from(truth.label), boxes: Float64Array.from(truth.boxes),
      areas: Float64Array.from(truth.areas), crowd: Uint8Array.from(truth.crowd), ignore: new Uint8Array(truth.image.length),
    },
  }
}
