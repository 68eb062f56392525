/** @file How long it takes LCP to choose the channels of a whole SSD300-ResNet50, by stage and by part. */
import { cpus } from 'node:os'
import type { ProgressEvent } from '../src/train/events.ts'
import { interleaved, ours, statsOf, type BenchContext, type Benchmark, type Row, type Sample } from './harness.ts'

const architecture = 'ssd300-resnet50'
const batch = 4

export const selection: Benchmark = {
  name: 'selection',
  title: `LCP's selection of channels, ${architecture}, 70% of the parameters, 200 images`,
  measures: 'From the trained detector to the plan, one sweep by stage: graphs built and loaded, both models forward, one backward pass of the joint loss a batch. Stage fine-tuning, updates and the last fine-tuning are training and left out. Drawn images of 300 pixels.',
  run,
  child,
}

async function run({ quick, log }: BenchContext): Promise<Row[]> {
  const images = quick ? 8 : 200
  const threads = Math.min(2, cpus().length)
  const [samples] = await interleaved([ours('selection', [images, threads])], quick ? 1 : 3, log)
  const stages = Object.keys(samples![0]!).filter((key) => key.startsWith('stage '))
  const row = (what: string, key: string, unit = 's'): Row => ({ what, unit, ours: statsOf(samples!, key) })
  return [
    { ...row(`${images} images, ${threads} thread(s), in all`, 'seconds'), goal: quick ? undefined : { of: 'ours', atMost: 300 } },
    ...stages.map((key) => row(`of it, ${key}: runs and images`, key)),
    row('of it, widths, graphs, loading, cutting', 'restSeconds'),
    row('peak memory', 'peakMB', 'MB'),
  ]
}

async function child(args: readonly string[]): Promise<Sample> {
  const [images, threads] = args.map(Number) as [number, number]
  const { augmentPresets } = await import('../src/data/augment.ts')
  const { nodeCodec } = await import('../src/data/image-node.ts')
  const { shapeNames } = await import('../src/data/shapes-geometry.ts')
  const { shapesDataset } = await import('../src/data/shapes.ts')
  const { buildDetector } = await import('../src/detection/models/architectures.ts')
  const { criterionNamed } = await import('../src/pruning/criteria/registry.ts')
  const { lcpDefaults } = await import('../src/pruning/lcp/options.ts')
  const { select } = await import('../src/pruning/prune.ts')
  const { nodeRuntime } = await import('../src/runtime/node.ts')
  const { detectorOf } = await import('../src/train/detector.ts')
  const detector = detectorOf(buildDetector(architecture, { classes: shapeNames, seed: 0 }), architecture)
  const shapes = shapesDataset({ seed: 0, split: 'train', count: images, size: 300 })
  const source = { dataset: shapes.dataset, readImage: async (sample: { readonly id: string }) => shapes.image(sample), cropResize: nodeCodec.cropResize }
  const stages: Record<string, number> = {}
  let current = { name: '', start: 0 }
  const listener = (event: ProgressEvent): void => {
    const scored = event.type === 'phase' && /^(stage .*): score/.exec(event.name)
    if (scored) current = { name: scored[1]!, start: performance.now() }
    else if (event.type === 'end' && current.name) {
      stages[current.name] = (performance.now() - current.start) / 1000
      current.name = ''
    }
  }
  const start = performance.now()
  const { passes } = await select(detector, source, {
    runtime: nodeRuntime, session: { threads }, criterion: criterionNamed('lcp'), budget: { removeParams: 0.7, round: 8, groups: 'inner' },
    lcp: { ...lcpDefaults, images, batch, stageEpochs: 0, updateEpochs: 0 }, finetune: { epochs: 0, batch, rate: 0, warmup: 0, optimizer: { type: 'sgd', momentum: 0 } },
    augment: augmentPresets.none, seed: 0, listener,
  })
  const seconds = (performance.now() - start) / 1000
  if (Object.keys(stages).length === 0 || passes.selection === 0) throw new Error('no stage was scored')
  return { ...stages, seconds, restSeconds: seconds - Object.values(stages).reduce((sum, s) => sum + s, 0), passes: passes.selection }
}
