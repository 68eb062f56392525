/** @file COCO's twelve numbers for 5,000 images with 100 detections each: time, memory and equality with pycocotools. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CocoNumbers } from '../src/metrics/coco-map.ts'
import { cocoSized, writeCocoLike } from './coco-like.ts'
import { interleaved, ours, statsOf, theirs, timed, type BenchContext, type Benchmark, type Row, type Sample, type Stats, type Subject } from './harness.ts'

const numbers: readonly (keyof CocoNumbers)[] = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl']
const peers = [
  { module: 'pycocotools', name: 'pycocotools' },
  { module: 'faster_coco_eval', name: 'faster-coco-eval' },
]

export const evaluation: Benchmark = {
  name: 'evaluation',
  title: 'COCO evaluation, 5,000 images, 80 classes, 36,406 objects, 100 detections an image',
  measures: 'From two JSON files to the twelve numbers, boxes only, on one thread; seconds on the clock, seconds of processor, and peak size of the whole process.',
  run,
  child,
}

async function run({ quick, folder, log, peer }: BenchContext): Promise<Row[]> {
  const like = quick ? { ...cocoSized, images: 500 } : cocoSized
  const files = [join(folder, 'truth.json'), join(folder, 'results.json')] as const
  log(`writing ${like.images} images`)
  writeCocoLike(like, ...files)
  const found: { name: string; version: string; subject: Subject }[] = []
  for (const { module, name } of peers) {
    const at = await peer([module], `pip install ${name}`)
    if (at) found.push({ name, version: at.versions[module]!, subject: theirs(at, name, 'coco_eval.py', [module, ...files]) })
  }
  const [own, ...others] = await interleaved([ours('evaluation', files), ...found.map(({ subject }) => subject)], quick ? 1 : 3, log)
  const beside = (i: number, key: string): Stats & { name: string; version: string } => ({ ...statsOf(others[i]!, key), name: found[i]!.name, version: found[i]!.version })
  const rows = (what: string, key: string, unit: string, goal?: Row['goal']): Row[] => {
    const stats = statsOf(own!, key)
    return found.length ? found.map((_, i) => ({ what, unit, ours: stats, peer: beside(i, key), goal })) : [{ what, unit, ours: stats, goal }]
  }
  return [
    ...rows('files to numbers, clock', 'seconds', 's'),
    ...rows('files to numbers, processor', 'cpuSeconds', 's', quick ? undefined : { of: 'ours', atMost: 2 }),
    ...rows('of it, after the JSON is read, processor', 'evaluateCpuSeconds', 's'),
    ...rows('peak memory', 'peakMB', 'MB', { of: 'ours', atMost: 500 }),
    ...others.map((samples, i): Row => ({
      what: `largest difference of the twelve numbers, ${found[i]!.name}`, unit: '',
      ours: statsOf([{ difference: largestDifference(own![0]!, samples[0]!) }], 'difference'), goal: { of: 'ours', atMost: 1e-9 },
    })),
  ]
}

function largestDifference(a: Sample, b: Sample): number {
  return Math.max(...numbers.map((key) => Math.abs(a[key]! - b[key]!)))
}

async function child([truth, results]: readonly string[]): Promise<Sample> {
  const { scoreCocoFiles } = await import('../src/metrics/coco-files.ts')
  const read = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8')) as unknown
  const reading = await timed(async () => ({ truth: await read(truth!), results: await read(results!) }))
  const scoring = await timed(() => scoreCocoFiles(reading.value.truth, reading.value.results, { truth: truth!, results: results! }))
  return {
    ...Object.fromEntries(numbers.map((key) => [key, scoring.value[key]])),
    seconds: reading.seconds + scoring.seconds, cpuSeconds: reading.cpuSeconds + scoring.cpuSeconds, evaluateCpuSeconds: scoring.cpuSeconds,
  }
}
