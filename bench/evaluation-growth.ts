/** @file How evaluation grows: one of images, detections, objects and classes at a time, the rest as in COCO. */
import { cocoLikeInput, cocoSized, type CocoLike } from './coco-like.ts'
import { interleaved, ours, statsOf, timed, type BenchContext, type Benchmark, type Row, type Sample } from './harness.ts'

type Axis = Exclude<keyof CocoLike, 'seed'>

const axes: Readonly<Record<Axis, readonly number[]>> = {
  images: [1250, 2500, 5000, 10_000, 20_000],
  detections: [25, 50, 100, 200, 400],
  objects: [2, 7.3, 30, 100],
  classes: [1, 20, 80, 320, 1280],
}

export const evaluationGrowth: Benchmark = {
  name: 'evaluation-growth',
  title: 'COCO evaluation as the data grow, from flat arrays (5,000 images, 100 detections and 7.3 objects each, 80 classes but for what is named)',
  measures: 'The evaluation alone: sorting, matching, the twelve numbers; the peak is the whole process, with the input and what made it.',
  run,
  child,
}

async function run({ quick, log }: BenchContext): Promise<Row[]> {
  const cases = (Object.keys(axes) as Axis[]).flatMap((axis) => axes[axis].map((value) => ({ ...cocoSized, ...(quick ? { images: 500 } : {}), [axis]: value, axis, value })))
    .filter(({ axis }) => !quick || axis !== 'images')
  const subjects = cases.map(({ images, detections, objects, classes }) => ours('evaluation-growth', [images, detections, objects, classes]))
  const samples = await interleaved(subjects, quick ? 1 : 3, log)
  return cases.flatMap(({ axis, value }, i): Row[] => [
    { what: `${value} ${axis}, processor`, unit: 's', ours: statsOf(samples[i]!, 'cpuSeconds') },
    { what: `${value} ${axis}, peak memory`, unit: 'MB', ours: statsOf(samples[i]!, 'peakMB') },
  ])
}

async function child(args: readonly string[]): Promise<Sample> {
  const { summarizeCoco } = await import('../src/metrics/coco-map.ts')
  const [images, detections, objects, classes] = args.map(Number) as [number, number, number, number]
  const input = cocoLikeInput({ seed: cocoSized.seed, images, detections, objects, classes })
  const { seconds, cpuSeconds } = await timed(() => summarizeCoco(input))
  return { seconds, cpuSeconds }
}
