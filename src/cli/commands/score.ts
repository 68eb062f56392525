/** @file espalier score: COCO's numbers for two COCO files. */
import { readCocoFiles, scoreCoco } from '../../metrics/coco-files.ts'
import { errorTypes as errorTypesOf } from '../../metrics/error-types.ts'
import { nodeStore } from '../../storage/node.ts'
import { UserError } from '../../tensor/error.ts'
import { defineCommand } from '../command.ts'
import { cocoNumbers, errorsTable, numbersTable } from '../measures.ts'

export default defineCommand({
  arguments: [['<truth>', 'COCO ground truth (instances_*.json)'], ['<results>', 'COCO results (a list of image_id, category_id, bbox, score)']],
  fields: {},
  examples: ['score instances_val2017.json results.json', 'score gt.json dt.json --json'],
  details: 'The numbers are those of pycocotools for boxes, and of TIDE for the types of errors: what AP50 would gain without them.',
  async run(_options, [truth = '', results = ''], context) {
    const files = readCocoFiles(await readJson(truth), await readJson(results), { truth, results })
    const found = scoreCoco(files)
    for (const problem of found.problems) context.note(problem)
    const errorTypes = errorTypesOf(files.input)
    const perClass = Object.fromEntries(found.perClass.map(({ name, AP, AP50 }) => [name, { AP, AP50 }]))
    context.result({ ...cocoNumbers(found), perClass, errorTypes, problems: found.problems }, `${numbersTable(found, perClass)}\n\n${errorsTable(errorTypes)}`)
  },
})

async function readJson(path: string): Promise<unknown> {
  const text = await nodeStore().readText(path)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new UserError(`${path}: is no JSON (${cause instanceof Error ? cause.message : String(cause)}); mend or replace the file`, { cause })
  }
}
