/** @file Small images with ground truth and detections, written out by hand. */
import type { Detections, GroundTruth } from '../../src/detection/annotation.ts'

type Box = readonly [number, number, number, number]

export function truthOf(objects: readonly { box: Box; label?: number; crowd?: boolean; difficult?: boolean; area?: number }[]): GroundTruth {
  return {
    boxes: Float32Array.from(objects.flatMap((o) => [...o.box])),
    labels: Int32Array.from(objects, (o) => o.label ?? 0),
    crowd: Uint8Array.from(objects, (o) => (o.crowd ? 1 : 0)),
    difficult: Uint8Array.from(objects, (o) => (o.difficult ? 1 : 0)),
    areas: Float32Array.from(objects, (o) => o.area ?? (o.box[2] - o.box[0]) * (o.box[3] - o.box[1])),
  }
}

export function detectionsOf(found: readonly { box: Box; score: number; label?: number }[]): Detections {
  return {
    boxes: Float32Array.from(found.flatMap((f) => [...f.box])),
    scores: Float32Array.from(found, (f) => f.score),
    labels: Int32Array.from(found, (f) => f.label ?? 0),
  }
}
