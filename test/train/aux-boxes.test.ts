/** @file The boxes of auxiliary networks: the detector's own, or SSD's rule on the sizes of the stage ends. */
import { expect, it } from 'vitest'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import type { Batch } from '../../src/data/loader.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { auxDefaultBoxes, createAuxTask, lcpAux } from '../../src/train/aux-task.ts'
import { type Detector, detectorOf } from '../../src/train/detector.ts'

const ssd = detectorOf(buildDetector('ssd-small', { classes: ['a'], seed: 1 }), 'small.onnx')

it('are the detector\'s own where it has some', () => {
  expect(auxDefaultBoxes(ssd, [[5, 5]])).toBe(ssd.defaults)
})

it('else lie on the maps of the stage ends and on ever smaller ones, with small boxes on the finest', () => {
  const other = { ...ssd, defaults: undefined, card: { ...ssd.card, input: { width: 320, height: 160 } } } as unknown as Detector
  // 80x40 is finer than stride 8: it counts as 40x20, which is there already.
  const boxes = auxDefaultBoxes(other, [[20, 10], [80, 40], [40, 20]])
  const cells = (columns: number, rows: number, each: number): number => columns * rows * each
  expect(boxes.count).toBe(cells(40, 20, 4) + cells(20, 10, 6) + cells(10, 5, 4) + cells(5, 3, 4))
  // SSD's COCO sizes: 7% of the shorter side first.
  expect([...boxes.centers.slice(0, 4)].map((v) => Math.round(v * 10) / 10)).toEqual([4, 4, 11.2, 11.2])
  const widest = Math.max(...boxes.centers.filter((_, i) => i % 4 === 2))
  expect(widest).toBeGreaterThan(100)
})

it('with --roi truth the network looks at the objects themselves, otherwise at default boxes', () => {
  const two = detectorOf(buildDetector('ssd-small', { classes: ['a', 'b'], seed: 1 }), 'small.onnx')
  const box = [11, 13, 52, 77]
  const truth = { boxes: Float32Array.from(box), labels: Int32Array.of(1), crowd: new Uint8Array(1), difficult: new Uint8Array(1), areas: Float32Array.of(41 * 64) }
  const data = { images: new Float32Array(0), truths: [truth], samples: [{ id: 'a' }], transforms: [] } as unknown as Batch
  const looksAt = (roi: 'plain' | 'truth'): number[] => {
    const task = createAuxTask(two, two.defaults!, 'end', [8, 16, 16], 1, { ...lcpAux, roi, boxes: 4 }, 0)
    const [, centers] = Object.entries(task.feeds(data, 'seed')).find(([name]) => name.includes('default'))!
    return [...floats(centers).slice(0, 4)]
  }
  // [cx, cy, w, h]
  const own = [31.5, 45, 41, 64]
  expect(looksAt('truth').map((v) => Math.round(v * 10) / 10)).toEqual(own)
  expect(looksAt('plain').map((v) => Math.round(v * 10) / 10)).not.toEqual(own)
})
