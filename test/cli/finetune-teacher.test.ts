/** @file finetune --teacher: a cut detector learns from the one that it was cut from. Small nets, few images. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { setInitializer } from '../../src/ir/edit.ts'
import type { Model } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { nmsLike, retinanetLike, yolov5Like, yoloxLike } from '../support/heads.ts'
import { cli, cliJson, drawing, filesIn, type Json, put, putModel, readJson, shapesClasses, smallDetector, temporaryFolder, yoloFolder } from './support.ts'

const shipped = fileURLToPath(new URL('../../assets/shapes-detector.onnx', import.meta.url))
const folder = temporaryFolder()
const names = ['--classes', shapesClasses.join(',')]
const few = ['--data', 'shapes', '--limit', '8', '--threads', '1']
let yolox = ''
/** The same with smaller weights. */
let weak = ''

type Tuned = Json & { readonly epochs: readonly { readonly classification: number; readonly localization: number }[]; readonly before: { readonly AP: number }; readonly AP: number }
const lossOf = ({ classification, localization }: Tuned['epochs'][number]): number => classification + localization

beforeAll(async () => {
  yolox = await putModel(folder, 'yolox.onnx', yoloxLike(shapesClasses.length))
  weak = await putModel(folder, 'weak.onnx', weaker(yoloxLike(shapesClasses.length)))
})

/** The model itself, with smaller weights. */
function weaker(model: Model): Model {
  for (const v of model.graph.initializers) if (v.initializer!.dims.length === 4) setInitializer(v, { ...v.initializer!, data: floats(v.initializer!).map((x) => 0.7 * x) })
  return model
}

async function refused(...argv: string[]): Promise<string> {
  const out = join(folder, 'out')
  const { code, out: stdout, err } = await cli(...argv, '--out', out)
  expect({ code, stdout, files: filesIn(out) }, err).toEqual({ code: 2, stdout: '', files: [] })
  return err
}

describe('finetune --teacher', () => {
  it('trains a detector whose loss is not known; the model has a card then', async () => {
    const run = join(folder, 'weak-run')
    const tuned = await cliJson('finetune', weak, '--teacher', yolox, ...few, ...names, '--epochs', '6', '--batch', '4', '--preprocess', 'rgb /255', '--lr', '0.005', '--augment', 'none', '--keep', 'last', '--out', run) as Tuned
    expect(lossOf(tuned.epochs.at(-1)!)).toBeLessThan(0.85 * lossOf(tuned.epochs[0]!))
    expect(readJson(join(run, 'run.json'))).toMatchObject({ model: weak, teacher: yolox, labels: 'data', method: 'finetune', rate: 0.005, optimizer: { type: 'adam', relative: true, weightDecay: 0, clipNorm: 10 }, passes: 48 })
    expect(await cliJson('eval', join(run, 'model.onnx'), ...few)).toMatchObject({ AP: tuned.AP })
  })

  it('finds nothing to learn for the teacher itself', async () => {
    const tuned = await cliJson('finetune', yolox, '--teacher', yolox, ...few, ...names, '--epochs', '1', '--optimizer', 'sgd', '--lr', '1e-4', '--out', join(folder, 'same-run')) as Tuned
    expect(Math.abs(lossOf(tuned.epochs[0]!))).toBeLessThan(1e-5)
  })

  it('reads RetinaNet\'s anchors', async () => {
    const [whole, less] = [await putModel(folder, 'retinanet.onnx', retinanetLike(shapesClasses.length)), await putModel(folder, 'less.onnx', weaker(retinanetLike(shapesClasses.length)))]
    const options = ['--data', 'shapes', '--limit', '2', '--batch', '1', '--threads', '1', ...names, '--decoder', 'retinanet scoresAre=probabilities', '--epochs', '1', '--optimizer', 'sgd', '--lr', '1e-6', '--keep', 'last']
    const lossFrom = async (student: string, run: string) => lossOf(((await cliJson('finetune', student, '--teacher', whole, ...options, '--out', join(folder, run))) as Tuned).epochs[0]!)
    expect(Math.abs(await lossFrom(whole, 'retinanet-same'))).toBeLessThan(1e-4)
    expect(await lossFrom(less, 'retinanet-less')).toBeGreaterThan(0.1)
  })

  it('goes on where prune without --data ends, as its hint says', async () => {
    const cut = join(folder, 'cut')
    const { err } = await cli('prune', yolox, '--method', 'l1', '--remove-params', '0.1', '--dry-run', '--out', cut)
    expect(err).toContain('no channel group to cut')
    const pruned = await cli('prune', shipped, '--method', 'l1', '--remove-params', '0.5', '--out', cut)
    expect(pruned.err).toContain(`"espalier finetune ${join(cut, 'pruned.onnx')} --data DIR --out RUN"`)
    const tuned = await cliJson('finetune', join(cut, 'pruned.onnx'), '--teacher', shipped, '--data', 'shapes', '--limit', '16', '--batch', '4', '--threads', '1', '--lr', '0.003', '--epochs', '4', '--keep', 'last', '--out', join(folder, 'cut-run')) as Tuned
    expect(lossOf(tuned.epochs.at(-1)!)).toBeLessThan(0.85 * lossOf(tuned.epochs[0]!))
    expect(tuned.AP).toBeGreaterThan(tuned.before.AP)
  })

  it('images without labels: the teacher judges them, and further folders are trained on', async () => {
    const plain = join(folder, 'plain')
    for (const i of [0, 1, 2, 3]) await put(plain, `${i}.jpg`, await drawing(i, 'jpeg'))
    expect(await refused('finetune', shipped, '--teacher', shipped, '--data', plain, '--batch', '2')).toMatch(/plain: holds images, but no labels that are known; .* give --labels teacher/)
    const run = join(folder, 'plain-run')
    const { code, out, err } = await cli('finetune', shipped, '--teacher', shipped, '--labels', 'teacher', '--data', plain, '--more-images', plain, '--batch', '2', '--epochs', '1', '--threads', '1', '--out', run)
    expect(code, err).toBe(0)
    expect(out).toContain('measured on split "all" against the teacher\'s own detections; written to')
    expect(readJson(join(run, 'run.json'))).toMatchObject({ labels: 'teacher', passes: 8, before: { AP: expect.closeTo(1, 6), images: 4 } })
  })
})

describe('refused', () => {
  it('a detector without a loss of its own and without a teacher', async () => {
    const message = await refused('finetune', yolox, ...few, ...names)
    expect(message).toContain(`${yolox}: a detector of decoder yolox has no loss of its own here`)
    expect(message).toContain('; give --teacher ORIGINAL.onnx, the detector that it was cut from')
  })

  it('a teacher that is another detector: both files, and what differs', async () => {
    const carded = async (name: string, model: string, ...options: string[]): Promise<string> => {
      const target = join(folder, `${name}.onnx`)
      await cliJson('card', model, ...options, '--out', target)
      return target
    }
    const student = await carded('student', weak, ...names)
    const count = 5 + shapesClasses.length
    for (const [teacher, what] of [
      [await carded('rgb', yolox, ...names, '--preprocess', 'rgb'), 'input channels is "BGR" in the one, "RGB" in the other'],
      [await carded('renamed', yolox, '--classes', shapesClasses.map((name, i) => (i === 1 ? 'other' : name)).join(',')), `class 1 is "${shapesClasses[1]}" in the one, "other" in the other`],
      [await carded('yolov5', await putModel(folder, 'v5.onnx', yolov5Like(shapesClasses.length)), ...names, '--decoder', 'yolov5'), `output "output" is float32 [N,84,${count}] in the one, float32 [N,252,${count}] in the other`],
    ] as const) {
      expect(await refused('finetune', student, '--teacher', teacher, ...few)).toContain(`${student} and its teacher ${teacher} differ: ${what}; the teacher must be the detector that the model was cut from`)
    }
  })

  it('a teacher that says nothing entry by entry', async () => {
    const nms = await putModel(folder, 'nms.onnx', nmsLike())
    expect(await refused('finetune', nms, '--teacher', nms, ...few, '--classes', 'disc', '--preprocess', 'rgb /255 stretch')).toMatch(/nms\.onnx: a detector of kind "nms" cannot teach/)
  })

  it('options that are about the teacher, without one', async () => {
    const small = await putModel(folder, 'small.onnx', smallDetector())
    const data = await yoloFolder(join(folder, 'labelled'), shapesClasses, [await drawing(0, 'jpeg')])
    for (const [flag, value] of [['background', '0.5'], ['labels', 'teacher'], ['label-threshold', '0.5'], ['more-images', data]] as const) {
      expect(await refused('finetune', small, ...few, `--${flag}`, value)).toBe(`espalier: --${flag} has no meaning without --teacher, whom it is about; give both, or leave it out\n`)
    }
  })
})
