/** @file Detection losses as graphs: SSD's multibox loss, smooth L1, box decoding, GIoU. All in float32, batch sizes static. */
import { dimsOf, type Value } from '../ir/graph.ts'
import type { Builder } from '../ops/builder.ts'

/** Cross-entropy of each row: logits [..., C], one-hot targets of the same shape; result [...]. */
export function crossEntropy(b: Builder, logits: Value, oneHot: Value): Value {
  const last = dimsOf(logits).length - 1
  const log = b.op('LogSoftmax', [logits], { axis: last })
  return b.op('Neg', [b.sum(b.mul(log, oneHot), [last])])
}

/** One-hot rows, float32: labels [...] int32 or int64 in [0, classes) to [..., classes]. */
export function oneHot(b: Builder, labels: Value, classes: number): Value {
  return b.op('OneHot', [b.cast(labels, 'int64'), b.ints([classes]), b.floats([0, 1])], { axis: -1 })
}

/** Smooth L1 with beta 1 (Girshick 2015): 0.5 d^2 below 1, |d| - 0.5 above; elementwise. */
export function smoothL1(b: Builder, x: Value, target: Value): Value {
  const d = b.op('Abs', [b.sub(x, target)])
  // min(d, 1) (d - min(d, 1) / 2) is both branches in one, with the right derivative on either side.
  const inner = b.op('Min', [d, b.scalar(1)])
  return b.mul(inner, b.sub(d, b.mul(inner, b.scalar(0.5))))
}

export interface MultiboxInputs {
  /** [N,D,1+C] logits, 0 is background. */
  readonly scores: Value
  /** [N,D,4] predicted offsets. */
  readonly boxes: Value
  /** [N,D] int32 or int64; 0 is background. */
  readonly labels: Value
  /** [N,D,4] offsets wanted; anything at background. */
  readonly offsets: Value
}

/**
 * SSD's multibox loss (Liu et al. 2016, eq. 1 to 3): softmax cross-entropy over positives and, an image at a time, the
 * hardest negatives (`negatives` for each positive), and smooth L1 over positives; both divided by the positives in the batch.
 */
export function multiboxLoss(b: Builder, inputs: MultiboxInputs, negatives = 3): { classification: Value; localization: Value } {
  const { scores, boxes, labels, offsets } = inputs
  const [n, d, width] = dimsOf(scores) as [number, number, number]
  const wide = b.cast(labels, 'int64')
  const positive = b.cast(b.op('Greater', [wide, b.ints([0])]), 'float32')
  const perImage = b.sum(positive, [1], true)
  const count = b.op('Max', [b.sum(positive), b.scalar(1)])
  const entropy = crossEntropy(b, scores, oneHot(b, wide, width))
  const mask = b.add(positive, hardNegatives(b, entropy, positive, perImage, n, d, negatives))
  const classification = b.div(b.sum(b.mul(entropy, mask)), count, 'loss_classification')
  const distance = b.sum(smoothL1(b, boxes, offsets), [2])
  const localization = b.div(b.sum(b.mul(distance, positive)), count, 'loss_localization')
  return { classification, localization }
}

/** 1 where a default box is among its image's hardest negatives. [N,D] float32. */
function hardNegatives(b: Builder, entropy: Value, positive: Value, perImage: Value, n: number, d: number, negatives: number): Value {
  // Positives get -1: entropies are never negative, so every negative ranks before them.
  const ranked = b.sub(b.mul(entropy, b.sub(b.scalar(1), positive)), positive)
  const k = b.ints([d])
  const order = b.ops('TopK', [ranked, k], 2, { axis: 1, largest: 1, sorted: 1 })[1]!
  // The rank of each box is the inverse of the order: scatter 0..d-1 to the places the order names.
  const ranks = b.constant({ dtype: 'float32', dims: [n, d], data: Float32Array.from({ length: n * d }, (_, i) => i % d) }, 'ranks')
  const zeros = b.op('Expand', [b.scalar(0), b.ints([n, d])])
  const rank = b.op('ScatterElements', [zeros, order, ranks], { axis: 1 })
  const limit = b.op('Min', [b.mul(perImage, b.scalar(negatives)), b.sub(b.scalar(d), perImage)])
  return b.cast(b.op('Less', [rank, limit]), 'float32')
}

/** Decodes SSD offsets [..., 4] against boxes given as centre, size [..., 4] to xyxy [..., 4] (variances of centre and size). */
export function decodeOffsets(b: Builder, offsets: Value, centers: Value, variances: readonly [number, number]): Value {
  const last = dimsOf(offsets).length - 1
  const pair = (x: Value, from: number): Value => b.op('Slice', [x, b.ints([from]), b.ints([from + 2]), b.ints([last])])
  const size = pair(centers, 2)
  const middle = b.add(pair(centers, 0), b.mul(b.mul(pair(offsets, 0), b.scalar(variances[0])), size))
  const half = b.mul(b.mul(b.op('Exp', [b.mul(pair(offsets, 2), b.scalar(variances[1]))]), size), b.scalar(0.5))
  return b.op('Concat', [b.sub(middle, half), b.add(middle, half)], { axis: last })
}

/** GIoU (Rezatofighi et al. 2019) of paired boxes xyxy [...,4]: IoU - (|E| - U) / |E|; result [...]. */
export function giou(b: Builder, x: Value, y: Value): Value {
  const last = dimsOf(x).length - 1
  const part = (v: Value, from: number): Value => b.op('Slice', [v, b.ints([from]), b.ints([from + 2]), b.ints([last])])
  const area = (low: Value, high: Value, clip: boolean): Value => {
    const sides = clip ? b.op('Relu', [b.sub(high, low)]) : b.sub(high, low)
    const side = (i: number): Value => b.op('Slice', [sides, b.ints([i]), b.ints([i + 1]), b.ints([last])])
    return b.reshape(b.mul(side(0), side(1)), dimsOf(x).slice(0, last))
  }
  const [x1, x2, y1, y2] = [part(x, 0), part(x, 2), part(y, 0), part(y, 2)]
  const inter = area(b.op('Max', [x1, y1]), b.op('Min', [x2, y2]), true)
  const enclosing = area(b.op('Min', [x1, y1]), b.op('Max', [x2, y2]), false)
  const union = b.sub(b.add(area(x1, x2, false), area(y1, y2, false)), inter)
  // 1e-7 as torchvision's generalized_box_iou_loss, against empty boxes.
  const tiny = b.scalar(1e-7)
  return b.sub(b.div(inter, b.add(union, tiny)), b.div(b.sub(enclosing, union), b.add(enclosing, tiny)))
}
