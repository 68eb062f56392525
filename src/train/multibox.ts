/** @file The task of an SSD: its own loss L_c + L_r against labelled boxes. */
import { multiboxLoss } from '../detection/losses.ts'
import { createMatcher, type Matcher } from '../detection/matcher.ts'
import { encodeTargets } from '../detection/targets.ts'
import { valueNamed } from '../ir/walk.ts'
import { UserError } from '../tensor/error.ts'
import type { Detector } from './detector.ts'
import { type DetectorTask, imageFeeds } from './task.ts'

const ports = { labels: 'target_labels', offsets: 'target_offsets' } as const

/** Trains on the labels of the batches, for batches of `batch` images. Throws UserError for a detector that has no such loss. */
export function multiboxTask(detector: Detector, batch: number): DetectorTask {
  const { defaults, card } = detector
  const { decoder } = card
  if (decoder.type !== 'ssd' || !defaults || decoder.scoresAre === 'probabilities' || (decoder.boxesAre ?? 'offsets') !== 'offsets') {
    throw new UserError(`a detector of decoder ${decoder.type}${decoder.type === 'ssd' ? ' without default boxes, or with decoded outputs,' : ''} has no loss of its own here, so it cannot be trained on labels: that needs an SSD with default boxes in its detector card`)
  }
  const d = defaults.count
  const match: Matcher = createMatcher(defaults.corners)
  const labels = new Int32Array(batch * d)
  const offsets = new Float32Array(batch * d * 4)
  const matches = new Int32Array(d)
  return {
    add(b, working, imported) {
      const output = (name: string) => imported.values.get(valueNamed(working.graph, name))!
      return multiboxLoss(b, {
        scores: output(decoder.scores),
        boxes: output(decoder.boxes),
        labels: b.input(ports.labels, 'int32', [batch, d]),
        offsets: b.input(ports.offsets, 'float32', [batch, d, 4]),
      })
    },
    async feeds(data) {
      data.truths.forEach((truth, i) => {
        encodeTargets(truth, match(truth, matches), defaults, { labels, offsets }, i, decoder.variances)
      })
      return {
        ...imageFeeds(card, data),
        [ports.labels]: { dtype: 'int32', dims: [batch, d], data: labels },
        [ports.offsets]: { dtype: 'float32', dims: [batch, d, 4], data: offsets },
      }
    },
    async release() {},
  }
}
