/** @file Detector cards: files written before still read, one for every decoder goes there and back, wrong ones are refused. */
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { cardKey, checkCard, decoderOf, type DetectorCard, readCard, writeCard } from '../../src/detection/card.ts'
import { loadModel } from '../../src/onnx/load.ts'
import { nodeStore } from '../../src/storage/node.ts'

const suppression = { scoreThreshold: 0.01, nmsIou: 0.6, maxDetections: 100 }
const decoders: readonly DetectorCard['decoder'][] = [
  { type: 'ssd', scores: 's', boxes: 'b', scoresAre: 'probabilities', boxesAre: 'corners', units: 'unit', ...suppression },
  { type: 'yolov3', heads: [{ output: 'h', anchors: [[1, 2]], scaleXY: 1.05 }], ...suppression },
  { type: 'yolov5', output: 'o', boxesAre: 'centres', units: 'pixels', ...suppression },
  { type: 'yolov8', output: 'o', boxesAre: 'centres', units: 'pixels', ...suppression },
  { type: 'yolox', output: 'o', strides: [8], scoresAre: 'logits', ...suppression },
  { type: 'nanodet', levels: [{ stride: 8, scores: 's', boxes: 'b' }], bins: 8, scoresAre: 'logits', centre: 0.5, ...suppression },
  { type: 'fastestdet', output: 'o', ...suppression },
  { type: 'retinanet', scores: ['s'], boxes: ['b'], scoresAre: 'logits', strides: [8], sizes: [32], ratios: [1], scales: [1], centre: 0, variances: [1, 1, 1, 1], ...suppression },
  { type: 'nms', tables: [{ output: 'o', columns: ['x1', 'y1', 'x2', 'y2', 'score', 'label'] }], batched: true, units: 'pixels', firstLabel: 0, scoreThreshold: 0.01, maxDetections: 100 },
]
const card = (decoder: DetectorCard['decoder']): DetectorCard => ({
  version: 1, architecture: 'unknown', input: { width: 32, height: 32 }, channels: 'RGB', mean: [0, 0, 0], std: [1, 1, 1], resize: 'stretch', classes: ['a'], decoder,
})

it('of the detector that comes with the package reads as it did, and is written back the same', async () => {
  const { metadata } = await loadModel(nodeStore(), fileURLToPath(new URL('../../assets/shapes-detector.onnx', import.meta.url)))
  const text = metadata.get(cardKey)!
  const read = readCard(metadata, 'shapes')
  expect(read.decoder).toMatchObject({ type: 'ssd', scores: 'scores', boxes: 'boxes', variances: [0.1, 0.2] })
  expect(read.defaultBoxes!.length).toBeGreaterThan(0)
  expect(read.stageEnds!.length).toBeGreaterThan(0)
  writeCard(metadata, read)
  expect(JSON.parse(metadata.get(cardKey)!)).toEqual(JSON.parse(text))
})

it.each(decoders.map((d) => [d.type, d] as const))('%s goes there and back', (_, decoder) => {
  const metadata = new Map<string, string>()
  writeCard(metadata, card(decoder))
  expect(readCard(metadata, 'm.onnx')).toEqual(card(decoder))
  expect(decoderOf(card(decoder)).outputs.length).toBeGreaterThan(0)
})

it.each([
  [{ type: 'yolo' }, 'm.onnx: its detector card is wrong'],
  [{ ...decoders[4], bins: 8 }, 'bins'],
  [{ ...decoders[2], units: 'inches' }, 'units'],
  [{ ...decoders[8], tables: [{ output: 'o', columns: ['x1', 'y1', 'x2', 'y2', 'score'] }] }, 'tables must have each of the columns x1, y1, x2, y2, score, label once'],
  [{ ...decoders[7], sizes: [32, 64] }, 'needs a size for each stride'],
  [{ type: 'ssd', scores: 's', boxes: 'b', variances: [0.1, 0.2], ...suppression }, 'an SSD whose boxes are offsets needs its default boxes'],
])('refuses %j', (decoder, message) => {
  expect(() => checkCard({ ...card(decoders[0]!), decoder }, 'm.onnx')).toThrow(message)
})
