/** @file One optimizer step of SSD300 beside PyTorch's: forward, loss, backward, update. */
import { cpus } from 'node:os'
import { interleaved, ours, statsOf, theirs, timed, type BenchContext, type Benchmark, type Row, type Sample, type Stats } from './harness.ts'

const batch = 4
const classes = 20
const architectures = ['ssd300-resnet50', 'ssd300-resnet18'] as const

export const trainStep: Benchmark = {
  name: 'train-step',
  title: `a training step of SSD300, batch ${batch}, float32`,
  measures: 'Forward in training form (batch statistics), multibox loss with hard negatives, gradients of all weights, SGD with momentum and weight decay. Random images and targets; loading is left out. Medians of the steps of a process after a warm-up.',
  run,
  child,
}

async function run({ quick, log, note, peer }: BenchContext): Promise<Row[]> {
  const [steps, warmup, processes] = quick ? [3, 2, 1] : [7, 2, 3]
  const torch = await peer(['torch'], 'apt-get install python3-torch libopenblas0-pthread, or pip install torch')
  if (torch) note('torch from Debian needs libopenblas0 beside it: with the reference BLAS a step on one thread takes seven times as long.')
  const rows: Row[] = []
  for (const name of architectures) {
    for (const threads of new Set([1, Math.min(2, cpus().length)])) {
      const args = [name, batch, threads, steps, warmup, classes]
      const subjects = [ours('train-step', args), ...(torch ? [theirs(torch, 'torch', 'train_step.py', args)] : [])]
      const [own, theirOwn] = await interleaved(subjects, processes, (text) => log(`${name}, ${threads} thread(s): ${text}`))
      if (theirOwn) assertSame(own![0]!, theirOwn[0]!)
      const beside = (key: string): (Stats & { name: string; version: string }) | undefined => theirOwn && { ...statsOf(theirOwn, key), name: 'torch', version: torch!.versions.torch! }
      const row = (what: string, key: string, unit: string, atMost?: number): Row =>
        ({ what: `${name}, ${threads} thread(s), ${what}`, unit, ours: statsOf(own!, key), peer: beside(key), goal: atMost === undefined ? undefined : { of: 'ratio', atMost } })
      rows.push(row('step', 'stepMs', 'ms', threads === 2 ? 1 : undefined), row('processor', 'cpuMs', 'ms'), row('peak memory', 'peakMB', 'MB', threads === 2 ? 1.2 : undefined))
    }
  }
  return rows
}

/** Both must train the same detector, or the ratio says nothing. */
function assertSame(own: Sample, other: Sample): void {
  for (const key of ['weights', 'boxes']) if (own[key] !== other[key]) throw new Error(`the detectors differ: ${own[key]} ${key} here, ${other[key]} in the peer`)
}

async function child([name, ...numbers]: readonly string[]): Promise<Sample> {
  const [images, threads, steps, warmup, classCount] = numbers.map(Number) as [number, number, number, number, number]
  const { buildDetector } = await import('../src/detection/models/architectures.ts')
  const { median } = await import('../src/runtime/latency.ts')
  const { nodeRuntime } = await import('../src/runtime/node.ts')
  const { sizeOf } = await import('../src/tensor/tensor.ts')
  const { createRng } = await import('../src/tensor/rng.ts')
  const { detectorOf } = await import('../src/train/detector.ts')
  const { multiboxTask } = await import('../src/train/multibox.ts')
  const { createTrainStep } = await import('../src/train/step.ts')
  const { detectorStep, initializerOf } = await import('../src/train/train.ts')
  const detector = detectorOf(buildDetector(name!, { classes: Array.from({ length: classCount }, (_, i) => `class ${i}`), seed: 0 }), name!)
  const task = multiboxTask(detector, images)
  const graph = detectorStep(detector, task, images, { type: 'sgd', momentum: 0.9, weightDecay: 5e-4 })
  const step = await createTrainStep(nodeRuntime, graph, initializerOf(detector.model), { threads })
  const rng = createRng('bench')
  const { width, height } = detector.card.input
  const objects = 10
  const truth = {
    boxes: Float32Array.from({ length: objects * 4 }, (_, i) => (i % 4 < 2 ? rng.uniform(0, width / 2 - 10) : rng.uniform(width / 2 + 10, width))),
    labels: Int32Array.from({ length: objects }, () => rng.int(classCount)),
    crowd: new Uint8Array(objects), difficult: new Uint8Array(objects), areas: new Float32Array(objects).fill(1),
  }
  const samples = Array.from({ length: images }, (_, i) => ({ id: String(i), path: String(i), width, height, truth }))
  const pixels = Float32Array.from({ length: images * 3 * width * height }, () => rng.normal())
  const feeds = await task.feeds({ images: pixels, truths: samples.map((s) => s.truth), samples, transforms: [] })
  const times: number[] = []
  const processor: number[] = []
  for (let i = 0; i < warmup + steps; i++) {
    const { seconds, cpuSeconds } = await timed(() => step.run(feeds, 1e-3))
    if (i < warmup) continue
    times.push(seconds * 1000)
    processor.push(cpuSeconds * 1000)
  }
  await step.release()
  const weights = graph.slots.reduce((sum, slot) => sum + (slot.kind === 'weight' ? sizeOf(slot.dims) : 0), 0)
  return { stepMs: median(times), cpuMs: median(processor), weights, boxes: detector.defaults!.count }
}
