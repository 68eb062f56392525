/** @file How fast this machine multiplies: matrices and convolutions in ONNX Runtime, beside PyTorch's, and how near our detectors come. */
import { availableParallelism } from 'node:os'
import type { Value } from '../src/ir/graph.ts'
import { interleaved, ours, statsOf, theirs, timed, type BenchContext, type Benchmark, type Row, type Sample } from './harness.ts'

/** `depth` equal layers in a row, so that what happens at the ends (layouts, copies) weighs as little as in a detector. */
interface Kernel {
  readonly key: string
  readonly what: string
  /** Square kernel of a convolution of [images, channels, size, size]; 0: products of [size, channels] matrices. */
  readonly kernel: 0 | 1 | 3
  readonly channels: number
  readonly size: number
  readonly groups: number
  readonly depth: number
  readonly images: number
  /** Forward, and back to the weights of every layer: all but the first layer's input get a gradient. */
  readonly back: boolean
}

const kernels: readonly Kernel[] = [
  { key: 'matmul', what: 'MatMul, 1024 x 1024 x 1024', kernel: 0, channels: 1024, size: 1024, groups: 1, depth: 1, images: 1, back: false },
  { key: 'conv1', what: '1x1 Conv, 256 channels, 38 x 38', kernel: 1, channels: 256, size: 38, groups: 1, depth: 4, images: 1, back: false },
  { key: 'conv3', what: '3x3 Conv, 256 channels, 38 x 38', kernel: 3, channels: 256, size: 38, groups: 1, depth: 4, images: 1, back: false },
  { key: 'depthwise', what: 'depthwise 3x3 Conv, 256 channels, 38 x 38', kernel: 3, channels: 256, size: 38, groups: 256, depth: 4, images: 1, back: false },
  { key: 'conv1-back', what: '1x1 Conv and its gradients, 8 images, 96 channels, 40 x 40', kernel: 1, channels: 96, size: 40, groups: 1, depth: 4, images: 8, back: true },
  { key: 'conv3-back', what: '3x3 Conv and its gradients, 8 images, 96 channels, 40 x 40', kernel: 3, channels: 96, size: 40, groups: 1, depth: 4, images: 8, back: true },
  { key: 'depthwise-back', what: 'depthwise 3x3 Conv and its gradients, 8 images, 96 channels, 40 x 40', kernel: 3, channels: 96, size: 40, groups: 96, depth: 4, images: 8, back: true },
]
const detectors = ['ssd300-resnet50', 'ssd300-resnet18', 'ssd-small'] as const

export const limits: Benchmark = {
  name: 'limits',
  title: 'the machine\'s rate and the detectors\', float32, batch 1 (2 operations a multiply-accumulate)',
  measures: 'The fastest run of every process: a limit is what the machine can, not what it does beside other work. For the same reason one thread is timed by the processor, several by the clock. Detectors run whole, from the image to scores and boxes; their peer is the fastest of the kernels with as many threads.',
  run,
  child,
}

async function run({ quick, log, peer }: BenchContext): Promise<Row[]> {
  const [runs, processes] = quick ? [3, 1] : [30, 5]
  const torch = await peer(['torch'], 'apt-get install python3-torch libopenblas0-pthread, or pip install torch')
  const rows: Row[] = []
  for (const threads of new Set([1, Math.min(2, availableParallelism())])) {
    const subjects = [ours('limits', [threads, runs]), ...(torch ? [theirs(torch, 'torch', 'limits.py', [threads, runs, JSON.stringify(kernels.map(({ what: _, ...kernel }) => ({ ...kernel, macs: macsOf(kernel) })))])] : [])]
    const [own, other] = await interleaved(subjects, processes, (text) => log(`${threads} thread(s): ${text}`))
    const row = (what: string, key: string): Row => ({ what: `${what}, ${threads} thread(s)`, unit: 'GFLOP/s', ours: statsOf(own!, key) })
    for (const { key, what } of kernels) rows.push({ ...row(what, key), peer: other && { ...statsOf(other, key), name: 'torch', version: torch!.versions.torch! } })
    const fastest = kernels.filter(({ back }) => !back).map(({ key, what }) => ({ ...statsOf(own!, key), name: what.split(',')[0]!, version: 'above' })).reduce((a, b) => (b.median > a.median ? b : a))
    for (const name of detectors) rows.push({ ...row(name, name), peer: fastest })
  }
  return rows
}

/** Multiply-accumulates of all layers; with gradients, each again for its weights, and all but one for their inputs. */
function macsOf({ kernel, channels, size, groups, depth, images, back }: Omit<Kernel, 'what'>): number {
  const layer = kernel === 0 ? size * channels * channels : images * size * size * channels * (channels / groups) * kernel ** 2
  return layer * (back ? 3 * depth - 1 : depth)
}

async function child(args: readonly string[]): Promise<Sample> {
  const [threads, runs] = args.map(Number) as [number, number]
  const { pullBack } = await import('../src/autodiff/grad.ts')
  const { buildDetector } = await import('../src/detection/models/architectures.ts')
  const { createModel, Graph } = await import('../src/ir/graph.ts')
  const { Builder } = await import('../src/ops/builder.ts')
  const { modelCost } = await import('../src/passes/cost.ts')
  const { randomFeeds } = await import('../src/runtime/latency.ts')
  const { nodeRuntime } = await import('../src/runtime/node.ts')
  const { createRng } = await import('../src/tensor/rng.ts')

  const layers = ({ kernel, channels, size, groups, depth, images, back }: Kernel): ReturnType<typeof createModel> => {
    const b = new Builder(new Graph('layers'))
    const rng = createRng('layers')
    let x = b.input('x', 'float32', kernel === 0 ? [size, channels] : [images, channels, size, size])
    const inputs = (channels / groups) * Math.max(kernel, 1) ** 2
    const dims = kernel === 0 ? [channels, channels] : [channels, channels / groups, kernel, kernel]
    const trained: Value[] = []
    for (let i = 0; i < depth; i++) {
      // Outputs as large as inputs: neither infinite nor subnormal after several layers.
      const weight = back ? b.input(`weight ${i}`, 'float32', dims) : b.constant({ dtype: 'float32', dims, data: Float32Array.from({ length: channels * inputs }, () => rng.normal() / Math.sqrt(inputs)) })
      if (back) trained.push(weight)
      x = kernel === 0 ? b.op('MatMul', [x, weight]) : b.op('Conv', [x, weight], { kernel_shape: [kernel, kernel], pads: new Array<number>(4).fill(kernel >> 1), group: groups })
    }
    if (back) for (const gradient of pullBack(b, new Map([[x, x]]), trained).values()) b.output(gradient)
    else b.output(x)
    return createModel(b.graph, b.opset)
  }
  const rate = async (name: string, model: ReturnType<typeof layers>, macs = modelCost(model).macs, memoryPattern = true): Promise<number> => {
    const session = await nodeRuntime.load(model, { threads, memoryPattern })
    const feeds = randomFeeds(model, name, createRng(name))
    let fastest = Infinity
    for (let i = 0; i < runs + 3; i++) {
      const { seconds, cpuSeconds } = await timed(() => session.run(feeds))
      fastest = Math.min(fastest, threads === 1 ? cpuSeconds : seconds)
    }
    await session.release()
    return (2e-9 * macs) / fastest
  }
  const rates: Record<string, number> = {}
  // Gradients without a memory pattern, as in training steps: with one, copies take five times as long on two threads.
  for (const kernel of kernels) rates[kernel.key] = await rate(kernel.key, layers(kernel), macsOf(kernel), !kernel.back)
  for (const name of detectors) rates[name] = await rate(name, buildDetector(name, { classes: Array.from({ length: 20 }, (_, i) => `class ${i}`), seed: 0 }))
  return rates
}
