/** @file espalier eval: a detector measured on labelled images. */
import { nodeRuntime } from '../../runtime/node.ts'
import { evaluate } from '../../train/evaluate.ts'
import { defineCommand } from '../command.ts'
import { cardRequest, detectorFields } from '../detector-options.ts'
import { number } from '../fields.ts'
import { allSkipped, errorsTable, evaluationJson, numbersTable, tellSkipped } from '../measures.ts'
import { openDetector } from '../open-model.ts'
import { dataFields, openData, splitField } from '../open-source.ts'
import { sessionOptions } from '../session.ts'

export default defineCommand({
  arguments: [['<model>', 'ONNX detector']],
  fields: { ...dataFields, ...splitField, ...detectorFields, batch: number('N', 'images a run, where the model leaves its batch free', 4, { whole: true, min: 1 }) },
  examples: ['eval runs/base/model.onnx --data data/bccd', 'eval model.onnx --data shapes --split val --json', 'eval yolox_nano.onnx --data data/coco128 --decoder yolox'],
  details: 'AP is COCO\'s; classes are matched by name, as COCO or VOC have it. Where the data has fewer classes than the model, its classes alone are measured. dAP50 is what AP50 would gain without the errors of a type, after TIDE.',
  async run(options, [path = ''], context) {
    const session = sessionOptions(options, path)
    const { detector } = await openDetector(path, { request: await cardRequest(options), session, note: context.note })
    const data = await openData(options, context)
    const source = await data.open(options.split, detector.card.classes)
    const result = await evaluate(detector, source, { runtime: nodeRuntime, session, batch: options.batch, listener: context.listener })
    const skipped = allSkipped(source.dataset.skipped, result.skipped)
    tellSkipped(skipped, context)
    const json = { ...evaluationJson({ ...result, skipped }, detector.card.classes), split: source.dataset.split }
    context.result(json, `${result.images} images of split "${source.dataset.split}"${json.skipped ? `, ${json.skipped} skipped` : ''}\n\n${numbersTable(result, json.perClass)}\n\n${errorsTable(result.errorTypes)}`)
  },
})
