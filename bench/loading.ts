/** @file Whether a training step waits for its images: SSD300 on JPEG files, read and augmented by a worker thread, and on the step's own thread. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { interleaved, ours, statsOf, type BenchContext, type Benchmark, type Row, type Sample } from './harness.ts'

const architecture = 'ssd300-resnet18'
const batch = 4
const side = 640

export const loading: Benchmark = {
  name: 'loading',
  title: `loading: ${architecture}, batch ${batch}, JPEG files of ${side}x${side}, SSD's augmentation`,
  measures: 'What a step waits for its batch, as run.json has it: decoding, augmenting and normalising that were not done during the steps before. The images are read once an epoch; in the first none has been decoded before.',
  run,
  child,
}

async function run({ quick, folder, log }: BenchContext): Promise<Row[]> {
  const steps = quick ? 3 : 8
  const { encodeImage } = await import('../src/data/image-node.ts')
  const { dataset, image } = await drawings(steps)
  for (const sample of dataset.samples) await writeFile(fileOf(folder, sample), await encodeImage(image(sample)))
  const [apart, here] = await interleaved([ours('loading', ['apart', steps, folder]), ours('loading', ['here', steps, folder])], quick ? 1 : 3, log)
  const rows = (where: string, samples: readonly Sample[], goal?: Row['goal']): Row[] => [
    { what: `${where}: the first batch`, unit: 'ms', ours: statsOf(samples, 'firstMs') },
    { what: `${where}: each later batch, of two epochs`, unit: 'ms', ours: statsOf(samples, 'laterMs') },
    { what: `${where}: of the time between the first batch and the end`, unit: '%', ours: statsOf(samples, 'share'), goal },
  ]
  return [...rows('worker thread', apart!, quick ? undefined : { of: 'ours', atMost: 1 }), ...rows('the step\'s own', here!), { what: 'a step with all around it', unit: 'ms', ours: statsOf(apart!, 'stepMs') }]
}

async function drawings(steps: number) {
  const { shapesDataset } = await import('../src/data/shapes.ts')
  return shapesDataset({ seed: 0, split: 'train', count: steps * batch, size: side })
}

function fileOf(folder: string, { id }: { readonly id: string }): string {
  return join(folder, `${id}.jpg`)
}

async function child([where, count, folder]: readonly string[]): Promise<Sample> {
  const { augmentPresets } = await import('../src/data/augment.ts')
  const { imageReader } = await import('../src/data/codec.ts')
  const { nodeCodec } = await import('../src/data/image-node.ts')
  const { pixelsApart } = await import('../src/data/pixels-node.ts')
  const { buildDetector } = await import('../src/detection/models/architectures.ts')
  const { nodeRuntime } = await import('../src/runtime/node.ts')
  const { nodeStore } = await import('../src/storage/node.ts')
  const { detectorOf } = await import('../src/train/detector.ts')
  const { trainDetector } = await import('../src/train/train.ts')
  const steps = Number(count)
  const epochs = 2
  const drawn = await drawings(steps)
  const dataset = { ...drawn.dataset, samples: drawn.dataset.samples.map((sample) => ({ ...sample, path: fileOf(folder!, sample) })) }
  const source = { dataset, readImage: imageReader(nodeStore(), nodeCodec), cropResize: nodeCodec.cropResize, ...(where === 'apart' && { pixels: pixelsApart }) }
  const detector = detectorOf(buildDetector(architecture, { classes: dataset.classes, seed: 0 }), architecture)
  const { epochs: records, waitedSeconds: { first, later } } = await trainDetector(detector, source, undefined, {
    runtime: nodeRuntime, epochs, batch, rate: 1e-3, warmup: 0, optimizer: { type: 'sgd', momentum: 0.9, weightDecay: 5e-4 }, augment: augmentPresets.ssd, seed: 0,
  })
  const seconds = records.reduce((sum, epoch) => sum + epoch.seconds, 0) - first
  return { firstMs: first * 1000, laterMs: (later * 1000) / (steps * epochs - 1), share: (100 * later) / seconds, stepMs: (seconds * 1000) / (steps * epochs) }
}
