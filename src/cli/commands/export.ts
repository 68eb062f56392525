/** @file espalier export: a model in half precision or in 8 bits, measured beside what it was made from. */
import { dirname } from 'node:path'
import type { SkippedImage } from '../../detection/annotation.ts'
import type { Model } from '../../ir/graph.ts'
import { saveModel } from '../../onnx/save.ts'
import { nodeRuntime } from '../../runtime/node.ts'
import { randomFeeds } from '../../runtime/latency.ts'
import type { SessionOptions } from '../../runtime/session.ts'
import { assertWritable, nodeStore } from '../../storage/node.ts'
import { UserError } from '../../tensor/error.ts'
import { createRng } from '../../tensor/rng.ts'
import type { Detector } from '../../train/detector.ts'
import { evaluate } from '../../train/evaluate.ts'
import type { ImageSource } from '../../train/source.ts'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { cardRequest } from '../detector-options.ts'
import { bytesOnDisk, compareOutputs, type ExportRow, exportTable, type OutputDifference } from '../export-measure.ts'
import { assertNotQuantized, type CalibrationInputs, type Exported, exportModel, firstOf } from '../export-model.ts'
import { exportFields, type ExportOptions, precisionOf } from '../export-options.ts'
import { openExportImages, openImageModel } from '../export-source.ts'
import { listed } from '../group-table.ts'
import { allSkipped, cocoNumbers, skippedJson, tellSkipped } from '../measures.ts'
import { openDetector, openModel } from '../open-model.ts'
import { sessionOptions } from '../session.ts'
import { benchModels, machine, tellReplaceable } from './bench.ts'

export default defineCommand({
  arguments: [['<model>', 'any ONNX model in float32, pruned or not']],
  fields: exportFields,
  examples: [
    'export runs/pruned/pruned.onnx --fp16 --out detector.fp16.onnx',
    'export runs/pruned/pruned.onnx --int8 --data data/bccd --out detector.int8.onnx --beside runs/base/model.onnx',
    'export model.onnx --int8 --data photos --float conv1,conv2 --out model.int8.onnx --json',
  ],
  details: 'Half precision needs no images, but finds with them better than on random input what would pass float16\'s range. What decodes boxes stays in float32. The table has AP where --data has labels of the model\'s classes, '
    + 'else how far the outputs are from the float model\'s.',
  async run(options, [path = ''], context, given) {
    const precision = precisionOf(options, path, given)
    const { out, data } = options
    if (!options.force && (await nodeStore().stat(out))) throw new UserError(`${out}: is there already; give --force to replace it, or choose another name`)
    await assertWritable(dirname(out))
    const opened = await openModel(path)
    assertNotQuantized(opened.model, path)
    const known = data === undefined ? undefined : await openImageModel(opened, options, context)
    const images = known && (await openExportImages(known, { ...options, data: data! }, context))
    const model = known?.model ?? opened.model
    const session = sessionOptions(options, path)
    const inputs = images?.calibration ?? randomInputs(model, path, options.seed)
    const beside = options.beside === undefined ? undefined : await openBeside(options.beside, images?.measured && known?.detector, options, context)
    const exported = await exportModel({ path, model, precision, options, inputs, session, listener: context.listener })
    const differences = await compareOutputs(model, exported.model, await firstOf(inputs), session, out)
    const subjects: Subject[] = [
      ...(beside ? [beside] : []),
      { role: 'float', file: path, model, detector: known?.detector },
      { role: 'exported', file: out, model: exported.model, detector: known?.detector && { ...known.detector, model: exported.model } },
    ]
    const { rows, skipped } = await measure(subjects, images?.measured, options, session, context)
    const unread = allSkipped(images?.calibration.skipped() ?? [], skipped)
    tellSkipped(unread, context)
    await saveModel(nodeStore(), out, exported.model)
    const models = await Promise.all(rows.map(async ({ model: measured, ...row }): Promise<ExportRow> => ({ ...row, bytes: await bytesOnDisk(row.file, measured) })))
    const json = {
      written: out,
      precision,
      models: models.map(({ scores, ...row }) => ({ ...row, ...scores })),
      ...(images?.measured && { measured: { split: images.measured.dataset.split, images: images.measured.dataset.samples.length } }),
      ...(images && { calibration: { split: images.calibration.split, images: images.calibration.images, ...(precision === 'int8' && { range: options.range }) } }),
      ...(images && skippedJson(unread)),
      ...(precision === 'int8' && { layers: exported.layers }),
      float32: exported.kept,
      differences,
      machine: await machine(options),
    }
    // Single numbers far off say little of a detector whose AP is known.
    const off = images?.measured ? [] : [differenceLine(differences, images !== undefined)]
    context.result(json, [exportTable(models), '', ...summary(exported, json.calibration), ...off, `${json.machine.cpu}, ${json.machine.threads} threads, ${json.machine.runtime}; written to ${out}`].join('\n'))
  },
})

function randomInputs(model: Model, path: string, seed: number): CalibrationInputs {
  const feeds = randomFeeds(model, path, createRng(`${seed}/export`))
  return {
    runs: 1,
    async *inputs() {
      yield feeds
    },
  }
}

interface Subject {
  readonly role: ExportRow['role']
  readonly file: string
  readonly model: Model
  readonly detector?: Detector
}

type Row = Omit<ExportRow, 'bytes'> & { readonly model: Model }

/** Latency in turns, and AP where there are labels. */
async function measure(subjects: readonly Subject[], measured: ImageSource | undefined, options: ExportOptions, session: SessionOptions, context: Context): Promise<{ rows: Row[]; skipped: readonly SkippedImage[] }> {
  tellReplaceable(subjects, context)
  context.note('measuring latency')
  const times = await benchModels(subjects, { runs: options.runs, warmup: options.warmup, seed: options.seed, session }, context)
  const rows: Row[] = []
  let skipped: readonly SkippedImage[] = []
  for (const [i, { role, model, detector, file }] of subjects.entries()) {
    const scores = measured && detector && (await evaluate(detector, measured, { runtime: nodeRuntime, session: { ...session, file }, listener: context.listener }))
    if (scores) skipped = scores.skipped
    rows.push({ role, model, ...times[i]!, ...(scores && { scores: cocoNumbers(scores) }) })
  }
  return { rows, skipped }
}

/** `like`: the detector whose classes the labels count in; undefined where there are none. */
async function openBeside(file: string, like: Detector | undefined, options: ExportOptions, context: Context): Promise<Subject> {
  if (!like) return { role: 'beside', file, model: (await openModel(file)).model }
  const { detector } = await openDetector(file, { request: await cardRequest(options), session: sessionOptions(options, file), note: context.note })
  if (detector.card.classes.join() !== like.card.classes.join()) throw new UserError(`${file}: has other classes (${listed(detector.card.classes, 60)}) than the model (${listed(like.card.classes, 60)}); give as --beside the one that it was pruned from`)
  return { role: 'beside', file, model: detector.model, detector }
}

function summary({ layers, kept }: Exported, calibration: { readonly split: string; readonly images: number; readonly range?: string } | undefined): string[] {
  const reasons = kept.map(({ node, why }) => `${node} (${why})`)
  const rest = kept.length === 0 ? [] : [`in float32 stay ${listed(reasons, 300)}`]
  if (!calibration?.range) return rest
  return [`${layers.length} layers in 8 bits; ranges by ${calibration.range} of ${calibration.images} images of split "${calibration.split}"`, ...rest]
}

function differenceLine(differences: readonly OutputDifference[], onImages: boolean): string {
  const texts = differences.map(({ output, relative }) => `${output} ${relative === null ? 'of another length' : relative.toPrecision(2)}`)
  return `outputs off by (share of the largest number, on ${onImages ? 'images' : 'random input'}): ${listed(texts, 200)}`
}
