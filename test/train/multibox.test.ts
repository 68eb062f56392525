/** @file The loss on labels is an SSD's: others are refused by name. */
import { expect, it } from 'vitest'
import type { DetectorCard } from '../../src/detection/card.ts'
import { writeCard } from '../../src/detection/card.ts'
import { detectorOf } from '../../src/train/detector.ts'
import { multiboxTask } from '../../src/train/multibox.ts'
import { yoloxLike } from '../support/heads.ts'

it('refuses a detector of another decoder', () => {
  const model = yoloxLike(1)
  const card: DetectorCard = {
    version: 1, architecture: 'unknown', input: { width: 64, height: 64 }, channels: 'BGR', mean: [0, 0, 0], std: [1, 1, 1], resize: 'letterbox', classes: ['a'],
    decoder: { type: 'yolox', output: 'output', strides: [8, 16, 32], scoresAre: 'probabilities', scoreThreshold: 0.01, nmsIou: 0.6, maxDetections: 100 },
  }
  writeCard(model.metadata, card)
  const detector = detectorOf(model, 'm.onnx')
  expect(detector.defaults).toBeUndefined()
  expect(() => multiboxTask(detector, 1)).toThrow('a detector of decoder yolox has no loss of its own here, so it cannot be trained on labels: that needs an SSD with default boxes in its detector card')
})
