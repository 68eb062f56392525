/** @file Detectors of any decoder on the command line: recognised, told by options, carried in the file; what is wrong is said. */
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { cardKey, type DetectorCard, readCard } from '../../src/detection/card.ts'
import { loadModel } from '../../src/onnx/load.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { nmsLike, yolov5Like, yoloxLike } from '../support/heads.ts'
import { shared, sharedIt } from '../support/shared.ts'
import { cli, cliJson, drawing, filesIn, put, putModel, shapesClasses, smallDetector, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const names = shapesClasses.join(',')
const few = ['--data', 'shapes', '--limit', '2', '--threads', '1']
let yolox = ''

beforeAll(async () => {
  yolox = await putModel(folder, 'yolox.onnx', yoloxLike(shapesClasses.length))
})

/** Runs, expects exit code 2 and no result; returns the message. */
async function refused(...argv: string[]): Promise<string> {
  const { code, out, err } = await cli(...argv)
  expect({ code, out }, err).toEqual({ code: 2, out: '' })
  return err
}

describe('card', () => {
  it('shows what would be used, and why on stderr', async () => {
    const { code, out, err } = await cli('card', yolox, '--classes', names, '--json')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ written: null, card: { decoder: { type: 'yolox', output: 'output' }, classes: shapesClasses, channels: 'BGR', resize: 'letterbox' } })
    expect(err).toContain(`${yolox}: recognised as yolox: "output" [1,84,${5 + shapesClasses.length}]`)
    const text = await cli('card', yolox, '--classes', names, '--quiet')
    expect(text.err).toBe('')
    expect(JSON.parse(text.out)).toEqual((JSON.parse(out) as { card: object }).card)
  })

  it('writes the card into a new file, which needs no options then and is otherwise the same', async () => {
    const target = join(folder, 'carded.onnx')
    const options = ['--classes', await put(folder, 'names.txt', `${shapesClasses.join('\n')}\n`), '--decoder', 'yolox scoreThreshold=0.2', '--preprocess', 'rgb /255']
    const written = await cliJson('card', yolox, ...options, '--out', target)
    expect(written.written).toBe(target)
    const [before, after] = await Promise.all([yolox, target].map((path) => loadModel(nodeStore(), path))) as [Awaited<ReturnType<typeof loadModel>>, Awaited<ReturnType<typeof loadModel>>]
    expect(readCard(after.metadata, target)).toEqual(written.card)
    expect(after.graph.nodes.map((n) => n.opType)).toEqual(before.graph.nodes.map((n) => n.opType))
    expect(after.graph.initializers.map((v) => [v.name, v.initializer!.data])).toEqual(before.graph.initializers.map((v) => [v.name, v.initializer!.data]))
    expect(await cliJson('eval', target, ...few)).toEqual(await cliJson('eval', yolox, ...few, ...options))
    const { err } = await cli('eval', target, ...few)
    expect(err).not.toContain('recognised')
    expect((await cliJson('card', target)).card).toEqual(written.card)
    expect((await cliJson('card', target, '--decoder', 'yolox nmsIou=0.3')).card).toMatchObject({ channels: 'RGB', decoder: { nmsIou: 0.3, scoreThreshold: 0.2 } })

    expect(await refused('card', yolox, ...options, '--out', target)).toContain(`${target}: is there already; give --force to replace it, or choose another name`)
    expect((await cliJson('card', target, '--decoder', 'yolox nmsIou=0.3', '--out', target, '--force')).written).toBe(target)
    expect((await cliJson('card', target)).card).toMatchObject({ decoder: { nmsIou: 0.3 } })
    expect(filesIn(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  it('shows the card of a detector of ours', async () => {
    const model = await putModel(folder, 'small.onnx', smallDetector())
    expect((await cliJson('card', model)).card).toMatchObject({ architecture: 'ssd-small', decoder: { type: 'ssd' } })
  })
})

describe('eval and predict with options', () => {
  it('measure and draw what a decoder finds', async () => {
    const image = await put(folder, 'one.png', await drawing(0, 'png'))
    const model = await putModel(folder, 'yolov5.onnx', yolov5Like(shapesClasses.length))
    const json = await cliJson('predict', model, image, '--out', join(folder, 'drawn'), '--classes', names, '--decoder', 'yolov5 maxDetections=7 scoreThreshold=0', '--threads', '1')
    const [{ detections }] = json.images as [{ detections: { label: string; box: number[] }[] }]
    expect(detections).toHaveLength(7)
    for (const { label, box } of detections) {
      expect(shapesClasses).toContain(label)
      for (const v of box) expect(v >= 0 && v <= 160).toBe(true)
    }
    expect((await cliJson('eval', model, ...few, '--classes', names)).images).toBe(2)
  })

  it('a model that ends in NMS', async () => {
    const model = await putModel(folder, 'nms.onnx', nmsLike())
    const json = await cliJson('eval', model, ...few, '--classes', names, '--preprocess', 'rgb /255 stretch')
    expect(json.images).toBe(2)
  })
})

describe('what is wrong is said', () => {
  it('a decoder that is not known, a setting that it lacks, a word that is none', async () => {
    expect(await refused('eval', yolox, ...few, '--decoder', 'yolo9000')).toBe('espalier: --decoder: "yolo9000" is not known; known are ssd, yolov3, yolov5, yolov8, yolox, nanodet, fastestdet, retinanet, nms\n')
    expect(await refused('eval', yolox, ...few, '--classes', names, '--decoder', 'yolox bins=3')).toContain('--decoder: yolox has no setting "bins"')
    expect(await refused('eval', yolox, ...few, '--classes', names, '--preprocess', 'grey')).toContain('--preprocess: "grey" is not understood; the words are rgb or bgr')
  })

  it('names that do not fit, that are missing, or whose file is', async () => {
    expect(await refused('eval', yolox, ...few, '--classes', 'a,b')).toContain(`yolox.onnx: has ${shapesClasses.length} class outputs by decoder yolox, 2 names were given (a, b); give --classes with ${shapesClasses.length}`)
    expect(await refused('eval', yolox, ...few)).toContain(`yolox.onnx: the names of its ${shapesClasses.length} classes are in no card; give --classes`)
    expect(await refused('eval', yolox, ...few, '--classes', join(folder, 'absent.txt'))).toContain('absent.txt: no such file; check the path')
    expect(await refused('eval', yolox, ...few, '--classes', 'absent.names')).toContain('absent.names: no such file')
    expect(await refused('eval', yolox, ...few, '--classes', 'a,,b')).toContain('--classes "a,,b" has an empty name')
    expect(await refused('eval', yolox, ...few, '--classes', await put(folder, 'gap.txt', 'a\n\nb\n'))).toContain('gap.txt: must hold one class name a line')
  })

  it('outputs that stay open: the candidates with what they lack', async () => {
    const bare = smallDetector()
    bare.metadata.clear()
    const model = await putModel(folder, 'bare.onnx', bare)
    expect(await refused('eval', model, ...few)).toMatch(/bare\.onnx: has no detector card, and not enough is known to read its outputs\. ssd: "boxes" \[1,\d+,4\] are offsets from default boxes, which no file tells/)
    const nms = await putModel(folder, 'nms-bare.onnx', nmsLike())
    expect(await refused('eval', nms, ...few, '--classes', names)).toContain('models of decoder nms have no usual preprocessing; say with --preprocess')
    expect(await refused('eval', nms, ...few, '--classes', names, '--decoder', 'yolov8')).toContain('nms-bare.onnx: cannot be read as yolov8: it reads one output of 3 axes')
  })

  it('a card that does not fit the outputs', async () => {
    const model = yoloxLike(3)
    const card: DetectorCard = {
      version: 1, architecture: 'unknown', input: { width: 64, height: 64 }, channels: 'BGR', mean: [0, 0, 0], std: [1, 1, 1], resize: 'letterbox', classes: [...shapesClasses],
      decoder: { type: 'yolox', output: 'output', strides: [8, 16, 32], scoresAre: 'probabilities', scoreThreshold: 0.01, nmsIou: 0.6, maxDetections: 100 },
    }
    model.metadata.set(cardKey, JSON.stringify(card))
    const path = await putModel(folder, 'wrong.onnx', model)
    expect(await refused('eval', path, ...few, '--quiet')).toBe(`espalier: ${path}: output "output" is [1,84,8], the detector card asks for [N,84,${5 + shapesClasses.length}]: the card does not belong to this model; give --classes or another --decoder\n`)
    expect((await cliJson('card', path, '--classes', 'a,b,c')).card).toMatchObject({ classes: ['a', 'b', 'c'], decoder: { type: 'yolox' } })
    model.metadata.set(cardKey, JSON.stringify({ ...card, decoder: { ...card.decoder, output: 'nowhere' } }))
    expect(await refused('eval', await putModel(folder, 'nowhere.onnx', model), ...few)).toContain('nowhere.onnx: its detector card names the output "nowhere", the model has "output"')
    model.metadata.set(cardKey, JSON.stringify({ ...card, decoder: { ...card.decoder, type: 'yolo' } }))
    expect(await refused('eval', await putModel(folder, 'type.onnx', model), ...few)).toContain('type.onnx: its detector card is wrong')
  })

  it('a description beside the model that is none', async () => {
    const model = await putModel(folder, 'beside/model.onnx', yoloxLike(shapesClasses.length))
    await put(folder, 'beside/model.json', '{"layers": 3}')
    expect(await refused('eval', model, ...few, '--classes', names)).toContain('model.json: lies beside the model but does not describe a detector')
  })

  it('training on labels without a loss of its own, before anything is written', async () => {
    const target = join(folder, 'trainable.onnx')
    await cliJson('card', yolox, '--classes', names, '--out', target)
    const out = join(folder, 'tuned')
    expect(await refused('finetune', target, '--data', 'shapes', '--limit', '8', '--out', out)).toContain('a detector of decoder yolox has no loss of its own here, so it cannot be trained on labels')
    expect(filesIn(out)).toEqual([])
  })
})

describe('the real models on real images', () => {
  // AP and AP50 of the first 16 images, from the evaluation whose figures on all images agree with an independent decoder's to 0.005.
  const figures = [['yolox_nano', 0.556, 0.781], ['nanodet_m_320', 0.493, 0.62], ['FastestDet', 0.455, 0.678], ['yolo-fastest-1.1', 0.327, 0.577]] as const
  for (const [name, ap, ap50] of figures) {
    sharedIt(`models/${name}.onnx`, `${name}: AP of sixteen images`, async (path) => {
      const json = await cliJson('eval', path, '--data', shared('data/coco128')!, '--limit', '16', '--threads', '1')
      expect(Math.abs((json.AP as number) - ap)).toBeLessThan(0.008)
      expect(Math.abs((json.AP50 as number) - ap50)).toBeLessThan(0.008)
    })
  }

  sharedIt('data/voc15', 'classes of VOC by name: AP is over the data\'s classes', async (data) => {
    const json = await cliJson('eval', shared('models/yolo-fastest-1.1.onnx')!, '--data', data, '--split', 'val', '--limit', '16', '--threads', '1')
    expect(Object.keys(json.perClass as object)).toHaveLength(15)
    expect(json.perClass).toHaveProperty('motorcycle')
  })
})
