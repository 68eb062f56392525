/** @file What a detector found in a measured split, beside what is there, as a run keeps it: gzipped JSON, exact to the bit. */
import { z } from 'zod'
import type { Detections, GroundTruth } from '../detection/annotation.ts'
import { UserError } from '../tensor/error.ts'

/** Name of the file in a run's folder. */
export const detectionsName = 'detections.json.gz'

export interface MeasuredImage {
  readonly sample: { readonly id: string; readonly path: string; readonly width: number; readonly height: number; readonly truth: GroundTruth }
  /** Of the classes that the data knows. */
  readonly detections: Detections
}

export interface DetectionsFile {
  readonly split: string
  /** The detector's classes, which all labels index. */
  readonly classes: readonly string[]
  readonly images: readonly MeasuredImage[]
}

const numbers = z.array(z.number())
const schema = z.strictObject({
  version: z.literal(1),
  split: z.string(),
  classes: z.array(z.string()),
  images: z.array(z.strictObject({
    id: z.string(),
    path: z.string(),
    width: z.number(),
    height: z.number(),
    truth: z.strictObject({ boxes: numbers, labels: numbers, areas: numbers, crowd: numbers, difficult: numbers }),
    found: z.strictObject({ boxes: numbers, scores: numbers, labels: numbers }),
  })),
})

/** The file's bytes. Boxes are [N,4] xyxy in pixels of the original image, flat. */
export async function packDetections({ split, classes, images }: DetectionsFile): Promise<Uint8Array> {
  const json: z.infer<typeof schema> = {
    version: 1,
    split,
    classes: [...classes],
    images: images.map(({ sample: { id, path, width, height, truth }, detections: { boxes, scores, labels } }) => ({
      id, path, width, height,
      truth: { boxes: shortened(truth.boxes), labels: [...truth.labels], areas: shortened(truth.areas), crowd: [...truth.crowd], difficult: [...truth.difficult] },
      found: { boxes: shortened(boxes), scores: shortened(scores), labels: [...labels] },
    })),
  }
  return new Uint8Array(await through(new TextEncoder().encode(JSON.stringify(json)), new CompressionStream('gzip')))
}

/** Reads the file's bytes; throws UserError naming `file` where they are none of it. */
export async function unpackDetections(bytes: Uint8Array<ArrayBuffer>, file: string): Promise<DetectionsFile> {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder().decode(await through(bytes, new DecompressionStream('gzip'))))
  } catch (cause) {
    throw new UserError(`${file}: is no gzipped JSON; run again what wrote it`, { cause })
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) throw new UserError(`${file}: are no detections of a run: ${z.prettifyError(parsed.error)}; run again what wrote it`)
  const { split, classes, images } = parsed.data
  return {
    split,
    classes,
    images: images.map(({ truth: t, found, ...sample }) => ({
      sample: { ...sample, truth: { boxes: Float32Array.from(t.boxes), labels: Int32Array.from(t.labels), areas: Float32Array.from(t.areas), crowd: Uint8Array.from(t.crowd), difficult: Uint8Array.from(t.difficult) } },
      detections: { boxes: Float32Array.from(found.boxes), scores: Float32Array.from(found.scores), labels: Int32Array.from(found.labels) },
    })),
  }
}

async function through(bytes: Uint8Array<ArrayBuffer>, stream: CompressionStream | DecompressionStream): Promise<ArrayBuffer> {
  return new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer()
}

/** The fewest digits that give back each float32. */
function shortened(values: Float32Array): number[] {
  return Array.from(values, (v) => {
    for (let digits = 5; digits < 9; digits++) {
      const short = Number(v.toPrecision(digits))
      if (Math.fround(short) === v) return short
    }
    return Number(v.toPrecision(9))
  })
}
