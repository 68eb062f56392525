/** @file espalier predict: detections of single images, drawn and listed. */
import { basename, extname, join, resolve } from 'node:path'
import { decodeImage, drawDetections, imageSize, nodeCodec } from '../../data/image-node.ts'
import { imageReader } from '../../data/codec.ts'
import { aboveScore, type Dataset, type Detections, type GroundTruth, type Sample, type SkippedImage } from '../../detection/annotation.ts'
import { nodeRuntime } from '../../runtime/node.ts'
import { assertWritable, nodeStore } from '../../storage/node.ts'
import { UserError } from '../../tensor/error.ts'
import { detectAll } from '../../train/evaluate.ts'
import { defineCommand } from '../command.ts'
import { cardRequest, detectorFields } from '../detector-options.ts'
import { number, required } from '../fields.ts'
import { allSkipped, skippedJson, tellSkipped } from '../measures.ts'
import { openDetector } from '../open-model.ts'
import { sessionOptions } from '../session.ts'
import { table } from '../table.ts'

export default defineCommand({
  arguments: [['<model>', 'ONNX detector'], ['<images...>', 'image files']],
  fields: {
    out: required('DIR', 'folder for the images with boxes, class and score drawn'),
    threshold: number('SCORE', 'least score of a box that is drawn', 0.3, { min: 0, max: 1 }),
    ...detectorFields,
    batch: number('N', 'images a run, where the model leaves its batch free', 4, { whole: true, min: 1 }),
  },
  examples: ['predict model.onnx photo.jpg --out out', 'predict model.onnx a.png b.png --out out --threshold 0.5 --json'],
  details: 'The JSON lists every detection of the model\'s decoder; boxes are x1, y1, x2, y2 in pixels of the image.',
  async run(options, [path = '', ...files], context) {
    const session = sessionOptions(options, path)
    const { detector } = await openDetector(path, { request: await cardRequest(options), session, note: context.note })
    const targets = targetsOf(files, options.out)
    await assertWritable(options.out)
    const dataset = await measureAll(files)
    const store = nodeStore()
    const source = { dataset, readImage: imageReader(store, nodeCodec), cropResize: nodeCodec.cropResize }
    const result = await detectAll(detector, source, { runtime: nodeRuntime, session, batch: options.batch, listener: context.listener })
    const skipped = allSkipped(dataset.skipped, result.skipped)
    tellSkipped(skipped, context)
    const { classes } = detector.card
    const images = []
    for (const { sample, detections } of result.found) {
      const target = targets.get(sample.path)!
      const format = target.endsWith('.png') ? 'png' : 'jpeg'
      await store.writeAtomic(target, await drawDetections(await decodeImage(await store.read(sample.path)), aboveScore(detections, options.threshold), classes, format))
      images.push({ file: sample.path, drawn: target, detections: listOf(detections, classes) })
    }
    const rows = images.flatMap((image) => image.detections.filter((d) => d.score >= options.threshold).map((d) => [image.file, d.label, d.score.toFixed(3), d.box.map((v) => v.toFixed(1)).join(' ')]))
    context.result({ images, ...skippedJson(skipped) }, `${table(['image', 'class', 'score', 'box'], rows, true)}\n\n${images.length} images drawn in ${options.out}`)
  },
})

/** Where each image is drawn to: its own name, made unique; never over an input. */
function targetsOf(files: readonly string[], out: string): Map<string, string> {
  const inputs = new Set(files.map((file) => resolve(file)))
  const targets = new Map<string, string>()
  const taken = new Set<string>()
  for (const file of files) {
    if (targets.has(file)) continue
    const stem = basename(file, extname(file))
    const extension = /\.png$/i.test(file) ? 'png' : 'jpg'
    let target = join(out, `${stem}.${extension}`)
    for (let n = 2; taken.has(target); n++) target = join(out, `${stem}-${n}.${extension}`)
    if (inputs.has(resolve(target))) throw new UserError(`${target}: drawing would overwrite an input image; choose another --out`)
    taken.add(target)
    targets.set(file, target)
  }
  return targets
}

/** The images as an unlabelled data set; files that are no images are left out and named. */
async function measureAll(files: readonly string[]): Promise<Dataset> {
  const store = nodeStore()
  const samples: Sample[] = []
  const skipped: SkippedImage[] = []
  for (const path of new Set(files)) {
    try {
      const { width, height } = await imageSize(await store.read(path))
      samples.push({ id: path, path, width, height, truth: nothing })
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      skipped.push({ path, reason: error.message.startsWith(path) ? error.message : `${path}: ${error.message}` })
    }
  }
  if (samples.length === 0) throw new UserError(`none of the ${skipped.length} images can be read; the first: ${skipped[0]!.reason}`)
  return { format: 'yolo', split: 'images', classes: [], samples, problems: [], skipped }
}

const nothing: GroundTruth = { boxes: new Float32Array(0), labels: new Int32Array(0), crowd: new Uint8Array(0), difficult: new Uint8Array(0), areas: new Float32Array(0) }

function listOf({ boxes, scores, labels }: Detections, classes: readonly string[]) {
  return Array.from(scores, (s, i) => ({ box: Array.from(boxes.subarray(4 * i, 4 * i + 4)), label: classes[labels[i]!]!, score: s }))
}
