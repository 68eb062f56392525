/** @file Seeded images with ground truth and detections of distinct scores: crowds, difficult objects, empty images, many boxes. */
import type { Detections, GroundTruth } from '../../src/detection/annotation.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { detectionsOf, truthOf } from './images.ts'

export function randomImages(seed: string, count: number, perImage: number): { truth: GroundTruth; detections: Detections }[] {
  const rng = createRng(seed)
  const box = (): [number, number, number, number] => {
    const [x, y] = [rng.uniform(0, 300), rng.uniform(0, 300)]
    return [x, y, x + rng.uniform(5, 150), y + rng.uniform(5, 150)]
  }
  return Array.from({ length: count }, () => {
    const objects = Array.from({ length: rng.int(6) }, () => ({ box: box(), label: rng.int(3), crowd: rng.next() < 0.1, difficult: rng.next() < 0.1 }))
    const found = Array.from({ length: rng.int(perImage) }, () => {
      const near = objects.length > 0 && rng.next() < 0.7 ? objects[rng.int(objects.length)]! : undefined
      const jitter = (v: number): number => v + rng.normal() * 6
      return { box: near ? (near.box.map(jitter) as [number, number, number, number]) : box(), label: near && rng.next() < 0.9 ? near.label : rng.int(4), score: rng.next() }
    })
    return { truth: truthOf(objects), detections: detectionsOf(found.sort((a, b) => b.score - a.score)) }
  })
}
