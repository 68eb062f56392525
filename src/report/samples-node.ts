/** @file Sample images of a run: found by running the models again, drawn, and packed small. */
import sharp from 'sharp'
import { drawBoxes } from '../data/draw.ts'
import { aboveScore, type Detections, type GroundTruth, type Image } from '../detection/annotation.ts'
import type { Runtime, SessionOptions } from '../runtime/session.ts'
import type { Detector } from '../train/detector.ts'
import type { Listener } from '../train/events.ts'
import { detectAll } from '../train/evaluate.ts'
import type { ImageSource } from '../train/source.ts'
import { inWords, type JudgedImage, qualityOf, type SamplePicture, type SampleSet, worstOf } from './samples.ts'

export interface SampleRequest {
  /** Names the run on the page. */
  readonly run: string
  /** The detector as it came, where there is one to compare with. */
  readonly before?: Detector
  readonly after: Detector
  readonly source: ImageSource
  readonly runtime: Runtime
  readonly session?: SessionOptions
  readonly listener?: Listener
  /** Images shown. */
  readonly count: number
  /** Least score of a box that is drawn and judged. */
  readonly threshold: number
}

/** Pixels of the longer side of a picture: labels are drawn twice as large from there on. */
const side = 600
/** Small images are enlarged, so that labels can be read. */
const mostEnlarged = 3
const quality = 68

export async function sampleSet({ run, before, after, source, runtime, session, listener, count, threshold }: SampleRequest): Promise<SampleSet> {
  const detect = async (detector: Detector): Promise<Map<string, Detections>> => {
    const { found } = await detectAll(detector, source, { runtime, session, listener })
    return new Map(found.map(({ sample, detections }) => [sample.id, aboveScore(detections, threshold)]))
  }
  const now = await detect(after)
  const then = before && (await detect(before))
  const judged = source.dataset.samples.flatMap((sample): JudgedImage[] => {
    const found = now.get(sample.id)
    if (!found) return []
    const earlier = then?.get(sample.id)
    return [{ sample, after: found, qualityAfter: qualityOf(sample.truth, found), ...(earlier && { before: earlier, qualityBefore: qualityOf(sample.truth, earlier) }) }]
  })
  if (judged.length === 0) return { run, why: `none of the images of split "${source.dataset.split}" can be read` }
  const { classes } = after.card
  const samples = []
  for (const image of worstOf(judged, count)) samples.push({ name: image.sample.id, pictures: await picturesOf(image, source, classes) })
  return { run, samples, images: judged.length, split: source.dataset.split, threshold, compared: then !== undefined }
}

async function picturesOf({ sample, before, after, qualityBefore, qualityAfter }: JudgedImage, source: ImageSource, classes: readonly string[]): Promise<SamplePicture[]> {
  const whole = await source.readImage(sample)
  const scale = Math.min(mostEnlarged, side / Math.max(whole.width, whole.height))
  const [width, height] = [Math.max(1, Math.round(whole.width * scale)), Math.max(1, Math.round(whole.height * scale))]
  const small = await source.cropResize(whole, { x: 0, y: 0, width: whole.width, height: whole.height }, width, height, [0, 0, 0])
  const shrink = (boxes: Float32Array): Float32Array => boxes.map((v, i) => (i % 2 === 0 ? v * (width / sample.width) : v * (height / sample.height)))
  const picture = async (label: string, drawn: Detections, value?: number): Promise<SamplePicture> => ({
    label,
    ...(await pack(drawBoxes(small, { ...drawn, boxes: shrink(drawn.boxes) }, classes))),
    alt: inWords(drawn.labels, classes),
    ...(value !== undefined && { quality: value }),
  })
  return [
    await picture('labels', labelled(sample.truth)),
    ...(before ? [await picture('before', before, qualityBefore)] : []),
    await picture('after', after, qualityAfter),
  ]
}

/** What is there, as if it had been found for certain. */
function labelled({ boxes, labels }: GroundTruth): Detections {
  return { boxes, labels, scores: new Float32Array(labels.length).fill(1) }
}

async function pack(image: Image): Promise<Pick<SamplePicture, 'base64' | 'width' | 'height'>> {
  const { width, height } = image
  const bytes = await sharp(image.data, { raw: { width, height, channels: 3 } }).webp({ quality }).toBuffer()
  return { base64: bytes.toString('base64'), width, height }
}

