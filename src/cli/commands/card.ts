/** @file espalier card: the detector card that a model has or would be used with; written into a new file. */
import { writeCard } from '../../detection/card.ts'
import { saveModel } from '../../onnx/save.ts'
import { nodeStore } from '../../storage/node.ts'
import { UserError } from '../../tensor/error.ts'
import { defineCommand } from '../command.ts'
import { cardRequest, detectorFields } from '../detector-options.ts'
import { flag, text } from '../fields.ts'
import { openDetector } from '../open-model.ts'
import { sessionOptions } from '../session.ts'

export default defineCommand({
  arguments: [['<model>', 'ONNX detector']],
  fields: {
    ...detectorFields,
    out: text('FILE', 'the model with its card, as a new file; without it the card is shown alone'),
    force: flag('replace FILE'),
  },
  examples: ['card yolox_nano.onnx', 'card detector.onnx --decoder yolov8 --classes names.txt --out detector.card.onnx'],
  details: 'A model with a card needs no --decoder, --preprocess and --classes afterwards.',
  async run(options, [path = ''], context) {
    const store = nodeStore()
    const { out } = options
    if (out !== undefined && !options.force && (await store.stat(out))) throw new UserError(`${out}: is there already; give --force to replace it, or choose another name`)
    const { unfolded, detector: { card } } = await openDetector(path, { request: await cardRequest(options), session: sessionOptions(options, path), note: context.note })
    if (out !== undefined) {
      // The file as it came, but for the card: folding is for our own work.
      const metadata = new Map(unfolded.metadata)
      writeCard(metadata, card)
      await saveModel(store, out, { ...unfolded, metadata })
    }
    const text = JSON.stringify(card, null, 2)
    context.result({ card, written: out ?? null }, out === undefined ? text : `${text}\n\nwritten to ${out}`)
  },
})
