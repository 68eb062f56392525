/** @file From an SSD's raw outputs to detections. */
import { UserError } from '../../tensor/error.ts'
import type { Detections } from '../annotation.ts'
import { decodeBox } from '../box-coder.ts'
import type { DetectorCard } from '../card.ts'
import type { DefaultBoxes } from '../default-boxes.ts'
import { nmsPerClass } from '../nms.ts'

/** Best boxes of a class that go into NMS, as in the common SSD code. */
const candidatesPerClass = 400

/**
 * Detections of one image, boxes clipped to the network's input and in its pixels. `logits` [D, 1 + C] (0 is background) and `offsets` [D,4]
 * are that image's part of the batch outputs. Softmax over the classes; scores below the threshold are dropped, then boxes that lie outside
 * the input; NMS class by class; the best `maxDetections` stay.
 */
export function decodeSsd(logits: Float32Array, offsets: Float32Array, defaults: DefaultBoxes, card: DetectorCard): Detections {
  const { decoder, input } = card
  const width = 1 + card.classes.length
  if (logits.length !== defaults.count * width || offsets.length !== defaults.count * 4) {
    throw new UserError(`the detector card names ${defaults.count} default boxes and ${card.classes.length} classes, which needs ${defaults.count * width} logits and ${defaults.count * 4} offsets an image; outputs "${decoder.scores}" and "${decoder.boxes}" have ${logits.length} and ${offsets.length}: the card does not belong to this model`)
  }
  const boxes: number[] = []
  const boxOf: number[] = []
  const scores: number[] = []
  const labels: number[] = []
  const box = new Float32Array(4)
  // A class's share is at most sigmoid(logit - background's logit): most boxes are settled by that, without exponentials.
  const margin = Math.log(decoder.scoreThreshold / (1 - decoder.scoreThreshold)) - 1e-6
  const exponentials = new Float64Array(width)
  for (let d = 0; d < defaults.count; d++) {
    const row = d * width
    let highest = logits[row + 1]!
    for (let c = 2; c < width; c++) if (logits[row + c]! > highest) highest = logits[row + c]!
    if (highest - logits[row]! < margin) continue
    const peak = Math.max(highest, logits[row]!)
    let sum = 0
    for (let c = 0; c < width; c++) sum += exponentials[c] = Math.exp(logits[row + c]! - peak)
    let decoded = false
    for (let c = 1; c < width; c++) {
      const score = exponentials[c]! / sum
      if (!(score >= decoder.scoreThreshold)) continue
      if (!decoded) {
        decodeBox(offsets, defaults, d, decoder.variances, box, 0)
        for (let i = 0; i < 4; i++) box[i] = Math.min(Math.max(box[i]!, 0), i % 2 === 0 ? input.width : input.height)
        // Also false for offsets that are not numbers.
        if (!(box[2]! > box[0]! && box[3]! > box[1]!)) break
        boxes.push(box[0]!, box[1]!, box[2]!, box[3]!)
        decoded = true
      }
      boxOf.push(boxes.length / 4 - 1)
      scores.push(score)
      labels.push(c - 1)
    }
  }
  const all = Float32Array.from(boxes)
  const kept = nmsPerClass({ boxes: all, boxOf, scores, labels }, { iou: decoder.nmsIou, candidatesPerClass, maxDetections: decoder.maxDetections })
  return {
    boxes: Float32Array.from({ length: 4 * kept.length }, (_, i) => all[4 * boxOf[kept[i >> 2]!]! + (i & 3)]!),
    scores: Float32Array.from(kept, (n) => scores[n]!),
    labels: Int32Array.from(kept, (n) => labels[n]!),
  }
}
