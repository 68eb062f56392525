/** @file How far the predicted latency of cut detectors is from the measured one, on one thread. */
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { interleaved, ours, statsOf, type BenchContext, type Benchmark, type Row, type Sample } from './harness.ts'

const built = ['ssd300-resnet18', 'ssd300-resnet50', 'ssd300-vgg16']
const files = ['nanodet_m_320.onnx', 'yolox_nano.onnx']
const speedups = [1.3, 1.6, 2]
/** Sets of widths, each group's drawn by itself, as no rule would choose them. */
const uneven = 2

export const latency: Benchmark = {
  name: 'latency',
  title: 'Predicted latency of cut detectors, in percent of the measured one, off by; one thread',
  measures: 'prune --speedup by uniform widths, and widths drawn at random; the prediction against the median of runs in turns with the uncut model. Time of the processor; the whole model was measured at other widths.',
  run,
  child,
}

async function run({ quick, log, note }: BenchContext): Promise<Row[]> {
  const folder = `${process.env.ESPALIER_SHARED ?? fileURLToPath(new URL('../../shared', import.meta.url))}/models`
  const found = files.map((file) => `${folder}/${file}`).filter((path) => existsSync(path) || void note(`missing: ${path}; name the folder above "models" in ESPALIER_SHARED`))
  const models = quick ? ['ssd-small'] : [...built, ...found]
  // One process a model: a profile of SSD300-ResNet50 or -VGG16 takes minutes, and each gives five figures.
  const samples = await interleaved(models.map((model) => ({ ...ours('latency', [model]), name: basename(model) })), 1, log)
  return models.flatMap((model, i) => {
    const names = Object.keys(samples[i]![0]!).filter((key) => key.endsWith('error'))
    return names.map((key): Row => ({ what: `${basename(model)}, ${key.replace(/ error$/, '')}`, unit: '%', ours: statsOf(samples[i]!, key), goal: { of: 'ours', atMost: 10 } }))
  })
}

/** Of each case the size of the error in percent, its sign in `bias`, and what was measured. */
async function child([name]: readonly string[]): Promise<Sample> {
  const { buildDetector } = await import('../src/detection/models/architectures.ts')
  const { loadModel } = await import('../src/onnx/load.ts')
  const { foldConstants } = await import('../src/passes/fold-constants.ts')
  const { solveBudget } = await import('../src/pruning/budget.ts')
  const { leastWidths, widthAt } = await import('../src/pruning/group-widths.ts')
  const { profileLatency } = await import('../src/pruning/latency/profile.ts')
  const { solveLatency } = await import('../src/pruning/latency/solve.ts')
  const { cutTo } = await import('../src/pruning/latency/whole-times.ts')
  const { chooseGroups } = await import('../src/pruning/request.ts')
  const { cpuClock } = await import('../src/runtime/clock-node.ts')
  const { measureLatency, randomFeeds } = await import('../src/runtime/latency.ts')
  const { nodeRuntime } = await import('../src/runtime/node.ts')
  const { nodeStore } = await import('../src/storage/node.ts')
  const { createRng } = await import('../src/tensor/rng.ts')

  const file = name!
  const model = foldConstants(file.endsWith('.onnx') ? await loadModel(nodeStore(), file) : buildDetector(file, { classes: Array.from({ length: 20 }, (_, i) => `c${i}`), seed: 0 }))
  const groups = chooseGroups({ model }, { groups: 'inner' })
  const session = { threads: 1 }
  const clock = cpuClock(session)
  const times = new Map<string, number>()
  const cache = { get: (key: string) => times.get(key), set: async (key: string, ms: number) => void times.set(key, ms) }
  const start = performance.now()
  const profile = await profileLatency(model, groups, { runtime: nodeRuntime, session, clock, cache, file })
  const sample: Record<string, number> = { profileSeconds: (performance.now() - start) / 1000 }

  const compare = async (label: string, kept: readonly number[]): Promise<void> => {
    const sessions = []
    try {
      const subjects = []
      for (const subject of [model, cutTo(model, groups, kept)]) {
        sessions.push(await nodeRuntime.load(subject, session))
        subjects.push({ session: sessions.at(-1)!, feeds: randomFeeds(subject, file, createRng('bench')) })
      }
      const [, cut] = await measureLatency(subjects, { runs: 21, warmup: 3, clock })
      const { ms } = await profile.predict(kept)
      const bias = (ms / cut!.medianMs - 1) * 100
      Object.assign(sample, { [`${label} error`]: Math.abs(bias), [`${label} bias`]: bias, [`${label} predicted ms`]: ms, [`${label} measured ms`]: cut!.medianMs })
    } finally {
      for (const s of sessions) await s.release()
    }
  }
  const least = (await profile.predict(leastWidths({ groups }))).ms
  for (const speedup of speedups.filter((x) => profile.whole[0]!.measuredMs / x > least)) {
    const { widths } = await solveLatency({ profile, limitMs: profile.whole[0]!.measuredMs / speedup, budget: { model, groups }, solve: solveBudget })
    await compare(`${speedup} times faster`, groups.map((g) => widths.get(g.id)!))
  }
  const rng = createRng('uneven')
  for (let i = 1; i <= uneven; i++) await compare(`uneven widths ${i}`, groups.map((g) => widthAt(g, 0.2 + 0.8 * rng.next(), {})))
  return sample
}
