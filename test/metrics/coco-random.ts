/** @file Seeded COCO files with ties, crowds, missing classes and crowded images, for comparison with pycocotools. */
import { createRng, type Rng } from '../../src/tensor/rng.ts'

export interface CocoFile {
  images: { id: number }[]
  categories: { id: number; name: string }[]
  annotations: { id: number; image_id: number; category_id: number; bbox: number[]; area: number; iscrowd: number }[]
}

export interface CocoResult {
  image_id: number
  category_id: number
  bbox: number[]
  score: number
}

/** `perImage` detections an image; one category without ground truth; scores on a coarse grid, so that many are equal. */
export function randomCoco(seed: string, imageCount: number, perImage: number): { truth: CocoFile; results: CocoResult[] } {
  const rng = createRng(seed)
  const box = (): number[] => [rng.uniform(0, 500), rng.uniform(0, 400), rng.uniform(4, 160), rng.uniform(4, 160)].map(cents)
  // Ids out of order: ties go by sorted id, not by place in the file.
  const images = Array.from({ length: imageCount }, (_, i) => ({ id: (i * 7) % imageCount + 3 }))
  const categories = [5, 2, 9, 1].map((id) => ({ id, name: `c${id}` }))
  const truth: CocoFile = { images, categories, annotations: [] }
  const results: CocoResult[] = []
  for (const image of images) {
    const here: CocoFile['annotations'] = []
    for (let n = rng.int(8); n > 0; n--) {
      const bbox = box()
      here.push({ id: 1 + truth.annotations.length + here.length, image_id: image.id, category_id: pick(rng, [1, 2, 5]), bbox, area: cents(bbox[2]! * bbox[3]! * rng.uniform(0.4, 1)), iscrowd: rng.next() < 0.15 ? 1 : 0 })
    }
    truth.annotations.push(...here)
    for (let n = 0; n < perImage; n++) {
      const near = here.length > 0 && rng.next() < 0.7 ? here[rng.int(here.length)]! : undefined
      const bbox = near ? near.bbox.map((v, i) => cents(i < 2 ? v + rng.normal() * 4 : v * rng.uniform(0.8, 1.25))) : box()
      results.push({ image_id: image.id, category_id: near && rng.next() < 0.9 ? near.category_id : pick(rng, [1, 2, 5, 9]), bbox, score: rng.int(20) / 20 })
    }
  }
  return { truth, results }
}

function cents(value: number): number {
  return Math.round(value * 100) / 100
}

function pick(rng: Rng, values: readonly number[]): number {
  return values[rng.int(values.length)]!
}
