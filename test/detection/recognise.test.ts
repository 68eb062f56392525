/** @file Recognising decoders from graphs: small nets of every family, the real ones where they are at hand, and what stays open. */
import { describe, expect, it } from 'vitest'
import type { DetectorCard } from '../../src/detection/card.ts'
import { amendCard, cardFor, type CardRequest } from '../../src/detection/recognise.ts'
import { boxFormOf, type ModelFacts, natureOf, type OutputFacts } from '../../src/detection/facts.ts'
import { probeModel } from '../../src/detection/probe.ts'
import { parseSidecar, type Sidecar } from '../../src/detection/sidecar.ts'
import type { Model } from '../../src/ir/graph.ts'
import { loadModel } from '../../src/onnx/load.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { cells, decode, net, nmsLike, parts, side, yolov5Like, yolov8Like, yoloxLike } from '../support/heads.ts'
import { sharedIt } from '../support/shared.ts'

const probe = (model: Model, size?: { width: number; height: number }): Promise<ModelFacts> => probeModel(foldConstants(model), { runtime: nodeRuntime, session: { threads: 1 }, file: 'm.onnx', size })

async function recognise(model: Model, request: CardRequest = {}, sidecar?: Sidecar): Promise<{ card: DetectorCard; why: string }> {
  return cardFor(await probe(model), request, sidecar, 'm.onnx')
}

const kept = { scoreThreshold: 0.01, nmsIou: 0.6, maxDetections: 100 }
const five = { classes: ['a', 'b', 'c', 'd', 'e'] }

describe('recognition', () => {
  it('yolox: rows of cells with raw boxes', async () => {
    const { card, why } = await recognise(yoloxLike(80))
    expect(card).toMatchObject({ input: { width: side, height: side }, channels: 'BGR', mean: [0, 0, 0], std: [1, 1, 1], resize: 'letterbox', pad: 114 })
    expect(card.decoder).toEqual({ type: 'yolox', output: 'output', strides: [8, 16, 32], scoresAre: 'probabilities', ...kept })
    expect(card.classes.slice(0, 3)).toEqual(['person', 'bicycle', 'car'])
    expect(why).toBe('recognised as yolox: "output" [1,84,85] has a row for each cell of strides 8, 16, 32, box numbers as the layers give them, scores after a sigmoid; images BGR 64x64 letterbox, mean 0 0 0, std 1 1 1 (usual for yolox); classes COCO\'s 80')
    expect((await recognise(yoloxLike(5, false), five)).card.decoder).toMatchObject({ type: 'yolox', scoresAre: 'logits' })
  })

  it('yolov5: decoded rows, three a cell or one', async () => {
    const { card } = await recognise(yolov5Like(5), five)
    expect(card).toMatchObject({ channels: 'RGB', std: [255, 255, 255], resize: 'letterbox-centre', classes: five.classes })
    expect(card.decoder).toEqual({ type: 'yolov5', output: 'output', boxesAre: 'centres', units: 'pixels', ...kept })
    expect((await recognise(yolov5Like(5, 1), five)).card.decoder.type).toBe('yolov5')
  })

  it('yolov8: decoded columns', async () => {
    const { card } = await recognise(yolov8Like(5), five)
    expect(card.decoder).toEqual({ type: 'yolov8', output: 'output0', boxesAre: 'centres', units: 'pixels', ...kept })
  })

  it.each([[false, 'corners', 1, 'unit'], [true, 'centres', side, 'pixels']] as const)('ssd: softmax with background, decoded boxes (%s %s)', async (swapped, form, extent, units) => {
    const model = net(({ b, rows }) => {
      const outputs = [() => b.output(b.op('Softmax', [rows(4, [8])], { axis: 2 }), 'p'), () => b.output(decode(b, rows(4, [8]), 64, form, extent), 'q')]
      for (const output of swapped ? outputs.reverse() : outputs) output()
    })
    const { card } = await recognise(model, { classes: ['a', 'b', 'c'] })
    expect(card.decoder).toEqual({ type: 'ssd', scores: 'p', boxes: 'q', scoresAre: 'probabilities', boxesAre: form, units, ...kept })
  })

  it('ssd of one class is a face detector', async () => {
    const model = net(({ b, rows }) => {
      b.output(b.op('Softmax', [rows(2, [8])], { axis: 2 }), 'scores')
      b.output(decode(b, rows(4, [8]), 64, 'corners', 1), 'boxes')
    })
    expect((await recognise(model)).card).toMatchObject({ classes: ['face'], mean: [127, 127, 127], std: [128, 128, 128], resize: 'stretch' })
  })

  it('retinanet: nine anchors a cell; maps of one size stay open', async () => {
    const strides = [8, 16, 32, 64, 128]
    const flat = net(({ b, rows }) => {
      b.output(b.op('Sigmoid', [rows(3, [8, 16, 32, 64, 64], 9)]), 'classes')
      b.output(b.op('Identity', [rows(4, [8, 16, 32, 64, 64], 9)]), 'deltas')
    })
    const names = { classes: ['a', 'b', 'c'] }
    expect((await recognise(flat, names)).card.decoder).toMatchObject({ type: 'retinanet', scores: ['classes'], boxes: ['deltas'], scoresAre: 'probabilities', strides, ratios: [0.5, 1, 2] })
    const maps = net(({ b, map }) => [8, 16, 32, 64, 64].forEach((stride, i) => {
      b.output(map(27, stride), `s${i}`)
      b.output(map(36, stride), `b${i}`)
    }))
    // The two coarsest levels are both one cell: their maps cannot be told apart.
    await expect(recognise(maps, names)).rejects.toThrow('has no detector card')
  })

  it('fastestdet: one map of a sigmoid, raw boxes, a softmax', async () => {
    const model = net(({ b, map }) => {
      const shares = b.transpose(b.op('Softmax', [b.transpose(map(5, 16), [0, 2, 3, 1])], { axis: 3 }), [0, 3, 1, 2])
      b.output(b.op('Concat', [b.op('Sigmoid', [map(1, 16)]), map(4, 16), shares], { axis: 1 }), 'out')
    })
    expect((await recognise(model, five)).card.decoder).toEqual({ type: 'fastestdet', output: 'out', ...kept })
  })

  it('nanodet: pairs of classes and distances', async () => {
    const model = (logistic: boolean): Model => net(({ b, rows }) => [8, 16, 32].forEach((stride) => {
      const scores = rows(5, [stride])
      b.output(b.op(logistic ? 'Sigmoid' : 'Identity', [scores]), `c${stride}`)
      b.output(b.op('Identity', [rows(32, [stride])]), `d${stride}`)
    }))
    const { card } = await recognise(model(true), five)
    expect(card.decoder).toMatchObject({ type: 'nanodet', bins: 8, scoresAre: 'probabilities', centre: 0.5, levels: [8, 16, 32].map((stride) => ({ stride, scores: `c${stride}`, boxes: `d${stride}` })) })
    expect((await recognise(model(false), five)).card.decoder).toMatchObject({ type: 'nanodet', scoresAre: 'logits' })
    await expect(recognise(model(false))).rejects.toThrow(/nanodet: of each pair in "c8" .* neither the graph nor the number of classes shows which: give --classes/)
  })

  it('yolov3: raw maps, anchors from beside the model or from the settings', async () => {
    const model = net(({ b, map }) => {
      b.output(map(20, 16), 'far')
      b.output(map(20, 8), 'near')
    })
    const said = parseSidecar(JSON.stringify({ input: side, heads: [{ output: 'far', anchors: [[30, 20], [40, 50]], scale_x_y: 1.1 }, { output: 'near', anchors: [[5, 6], [7, 8]], scale_x_y: 1 }], preprocess: 'bgr' }), 'm.json')
    const { card, why } = await recognise(model, five, said)
    expect(card.decoder).toEqual({ type: 'yolov3', heads: [{ output: 'far', anchors: [[30, 20], [40, 50]], scaleXY: 1.1 }, { output: 'near', anchors: [[5, 6], [7, 8]] }], ...kept })
    expect([card.channels, card.std]).toEqual(['BGR', [255, 255, 255]])
    expect(why).toContain('(usual for yolov3, from m.json)')
    const typed = await recognise(model, { ...five, decoder: 'yolov3 anchors=30,20,40,50;5,6,7,8 scaleXY=1.1 scoreThreshold=0.2' })
    expect(typed.card.decoder).toMatchObject({ heads: [{ anchors: [[30, 20], [40, 50]], scaleXY: 1.1 }, { anchors: [[5, 6], [7, 8]], scaleXY: 1.1 }], scoreThreshold: 0.2 })
    await expect(recognise(model, five)).rejects.toThrow(/yolov3: "far" \[1,20,4,4\], "near" \[1,20,8,8\] look like YOLOv3 heads, whose anchors no file tells: say anchors=/)
    await expect(recognise(model, { ...five, decoder: 'yolov3 anchors=1,2;3' })).rejects.toThrow('--decoder: anchors must be 2 groups of positive widths and heights')
    await expect(recognise(model, { ...five, decoder: 'yolov3 anchors=1,2,3,4,5,6;1,2' })).rejects.toThrow('are not 3 and 1 anchors of 5 + classes channels each')
  })

  it('nms: a table behind a choice; its images must be told', async () => {
    const request = { classes: ['a'], preprocess: 'rgb /255 stretch' }
    const { card, why } = await recognise(nmsLike(), request)
    expect(card.decoder).toEqual({ type: 'nms', tables: [{ output: 'output0', columns: ['x1', 'y1', 'x2', 'y2', 'score', 'label'] }], batched: true, units: 'pixels', firstLabel: 0, scoreThreshold: 0.01, maxDetections: 100 })
    expect(why).toContain('the graph chooses detections itself')
    await expect(recognise(nmsLike(), { classes: ['a'] })).rejects.toThrow('m.onnx: models of decoder nms have no usual preprocessing; say with --preprocess what images go through, channels is missing')
    await expect(recognise(nmsLike(), { preprocess: request.preprocess })).rejects.toThrow('the names of its unknown number of classes are in no card; give --classes')
    const told = await recognise(nmsLike(), { ...request, decoder: 'nms tables=output0:y1,x1,y2,x2,label,score units=unit firstLabel=1' })
    expect(told.card.decoder).toMatchObject({ tables: [{ columns: ['y1', 'x1', 'y2', 'x2', 'label', 'score'] }], units: 'unit', firstLabel: 1 })
  })

  it('nms: outputs of known names', () => {
    const outputs = (all: Record<string, number[]>): ModelFacts => ({ input: { width: 9, height: 9 }, outputs: Object.entries(all).map(([name, dims]) => ({ name, dims, chosen: true, replies: undefined })) })
    const decoderOf = (all: Record<string, number[]>) => cardFor(outputs(all), { classes: ['a'], preprocess: 'rgb /255 stretch' }, undefined, 'm.onnx').card.decoder
    expect(decoderOf({ 'detection_boxes:0': [1, 7, 4], 'detection_classes:0': [1, 7], 'detection_scores:0': [1, 7], 'num_detections:0': [1] })).toMatchObject({
      tables: [{ output: 'detection_boxes:0', columns: ['y1', 'x1', 'y2', 'x2'] }, { output: 'detection_scores:0', columns: ['score'] }, { output: 'detection_classes:0', columns: ['label'] }],
      count: 'num_detections:0', units: 'unit', firstLabel: 1, batched: true,
    })
    expect(decoderOf({ dets: [1, 7, 5], labels: [1, 7] })).toMatchObject({ tables: [{ output: 'dets', columns: ['x1', 'y1', 'x2', 'y2', 'score'] }, { output: 'labels', columns: ['label'] }], batched: true })
    expect(decoderOf({ boxes: [3, 4], labels: [3], scores: [3] })).toMatchObject({ batched: false, units: 'pixels', firstLabel: 0 })
    expect(decoderOf({ output: [3, 7] })).toMatchObject({ tables: [{ columns: ['image', 'x1', 'y1', 'x2', 'y2', 'label', 'score'] }], batched: false })
    expect(() => decoderOf({ output: [3, 6] })).toThrow(/nms: it is not plain which of "output" \[3,6\] is what: say tables=/)
    expect(() => decoderOf({ one: [3, 4], two: [3], three: [3] })).toThrow('it is not plain which of')
  })
})

describe('what stays open is an error', () => {
  it('nothing fits', async () => {
    const model = net(({ b, map }) => b.output(b.reshape(map(10, 64), [1, 10]), 'logits'))
    await expect(recognise(model)).rejects.toThrow('m.onnx: has no detector card, and no decoder fits its outputs "logits" [1,10]; if it is a detector, give --decoder with one of ssd, yolov3')
    await expect(recognise(model, { decoder: 'yolov8' })).rejects.toThrow('m.onnx: cannot be read as yolov8: it reads one output of 3 axes; there are "logits" [1,10]; give another --decoder')
  })

  it('a decoder that the outputs contradict', async () => {
    await expect(recognise(yoloxLike(80), { decoder: 'yolov5' })).rejects.toThrow('the boxes of "output" [1,84,85] are not decoded in the graph')
    await expect(recognise(yolov5Like(80, 1), { decoder: 'yolox' })).rejects.toThrow('the boxes of "output" [1,84,85] are decoded in the graph already')
    await expect(recognise(yoloxLike(80), { decoder: 'yolox bins=7' })).rejects.toThrow('--decoder: yolox has no setting "bins"; it has maxDetections')
    await expect(recognise(yoloxLike(80), { decoder: 'yolo' })).rejects.toThrow('--decoder: "yolo" is not known; known are ssd, yolov3')
  })

  it('names of another number of classes', async () => {
    await expect(recognise(yoloxLike(80), five)).rejects.toThrow('m.onnx: has 80 class outputs by decoder yolox, 5 names were given (a, b, c, ...); give --classes with 80')
    await expect(recognise(yoloxLike(5))).rejects.toThrow('m.onnx: the names of its 5 classes are in no card; give --classes with names')
  })

  it('an SSD whose default boxes no file tells', async () => {
    const model = net(({ b, rows }) => {
      b.output(b.op('Identity', [rows(4, [8])]), 'scores')
      b.output(b.op('Identity', [rows(4, [8])]), 'boxes')
    })
    await expect(recognise(model, { decoder: 'ssd scores=scores boxes=boxes', classes: ['a', 'b', 'c'] })).rejects.toThrow('ssd: "boxes" [1,64,4] are offsets from default boxes, which no file tells')
  })

  it('outputs that two decoders read', () => {
    // Ten raw maps: RetinaNet's five pairs, or ten YOLOv3 heads by the description.
    const maps = [8, 16, 32, 64, 128].flatMap((stride) => [['s', 54], ['b', 36]].map(([name, channels]): OutputFacts => {
      const dims = [1, channels as number, 128 / stride, 128 / stride]
      const filled = [0, 2, -3].map((p) => new Float32Array(dims.reduce((a, b) => a * b)).fill(p))
      return { name: `${name}${stride}`, dims, chosen: false, replies: filled }
    }))
    const heads = maps.map((m) => ({ output: m.name, anchors: Array.from({ length: m.dims[1]! / 6 }, () => [4, 4]) }))
    const facts = { input: { width: 128, height: 128 }, outputs: maps }
    expect(() => cardFor(facts, {}, parseSidecar(JSON.stringify({ heads }), 'm.json'), 'm.onnx')).toThrow(/can be read in several ways; give --decoder with one of yolov3, retinanet$/)
    expect(cardFor(facts, { decoder: 'retinanet', classes: ['a', 'b', 'c', 'd', 'e', 'f'] }, undefined, 'm.onnx').card.decoder).toMatchObject({ type: 'retinanet', scores: ['s8', 's16', 's32', 's64', 's128'], boxes: ['b8', 'b16', 'b32', 'b64', 'b128'] })
  })

  it('a graph whose tail could not be run: settings must say it', () => {
    const facts: ModelFacts = { input: { width: side, height: side }, outputs: [{ name: 'o', dims: [1, cells, 10], chosen: false, replies: undefined }] }
    expect(() => cardFor(facts, five, undefined, 'm.onnx')).toThrow(/not enough is known to read its outputs\. yolov5: the graph does not show in which form its boxes are.*; yolox: the graph does not show whether scores went through a sigmoid: say scoresAre=/)
    expect(cardFor(facts, { ...five, decoder: 'yolox scoresAre=logits' }, undefined, 'm.onnx').card.decoder).toMatchObject({ type: 'yolox', scoresAre: 'logits' })
    expect(cardFor(facts, { ...five, decoder: 'yolov5 boxesAre=corners units=unit' }, undefined, 'm.onnx').card.decoder).toMatchObject({ type: 'yolov5', boxesAre: 'corners', units: 'unit' })
  })

  it('an input that is no image, or leaves its size free', async () => {
    await expect(probe(yoloxLike(80, true, true))).rejects.toThrow('m.onnx: input "image" is float32 [1,3,height,width] and leaves the image\'s size free; say which with --preprocess "size=640x640"')
    expect((await probe(yoloxLike(80, true, true), { width: side, height: side })).outputs[0]!.dims).toEqual([1, cells, 85])
    await expect(probe(yoloxLike(80), { width: 32, height: 32 })).rejects.toThrow('so a size of 32x32 is impossible')
    const flat = net(({ b }) => void b.output(b.op('Identity', [b.input('other', 'float32', [1])]), 'y'))
    await expect(probe(flat)).rejects.toThrow('has 2 inputs ("image", "other"), one image input was wanted')
  })
})

describe('natures', () => {
  it('are read from answers to 0, 2 and -3, along an axis', async () => {
    const model = net(({ b, rows }) => {
      const [first, rest] = parts(b, rows(6, [16]), 2)
      const [second, third] = parts(b, rest, 2)
      b.output(b.op('Concat', [b.mul(first, b.scalar(1.3)), b.op('Sigmoid', [second]), b.op('Softmax', [third], { axis: 2 })], { axis: 2 }), 'y')
    })
    const [y] = (await probe(model)).outputs
    expect([natureOf(y!, 2, 0, 2), natureOf(y!, 2, 2, 4), natureOf(y!, 2, 4, 6), natureOf(y!, 2, 0, 4), natureOf(y!, 1, 0, 3)]).toEqual(['raw', 'sigmoid', 'softmax', 'computed', 'computed'])
    expect(natureOf({ ...y!, replies: undefined }, 2, 0, 2)).toBe('unknown')
  })

  it('boxes: corners or centres, pixels or shares', () => {
    const form = (...boxes: number[][]) => boxFormOf(boxes.length, (i, k) => boxes[i]![k]!, { width: 100, height: 100 })
    expect(form([0, 0, 20, 20], [80, 80, 99, 99])).toEqual({ boxesAre: 'corners', units: 'pixels' })
    expect(form([10, 10, 20, 20], [90, 90, 19, 19])).toEqual({ boxesAre: 'centres', units: 'pixels' })
    expect(form([0, 0, 0.2, 0.2], [0.8, 0.8, 1, 1])).toEqual({ boxesAre: 'corners', units: 'unit' })
    expect(form([10, 10, -5, 5])).toBeUndefined()
    expect(form([0, 0, 10, 10])).toBeUndefined()
  })
})

describe('amendCard', () => {
  it('changes what is asked for and nothing else', async () => {
    const { card } = await recognise(yoloxLike(2), { classes: ['a', 'b'] })
    expect(amendCard(card, {}, 'm.onnx')).toEqual(card)
    const changed = amendCard(card, { decoder: 'yolox scoreThreshold=0.3', preprocess: 'rgb pad=0', classes: ['c', 'd'] }, 'm.onnx')
    expect(changed).toEqual({ ...card, channels: 'RGB', pad: 0, classes: ['c', 'd'], decoder: { ...card.decoder, scoreThreshold: 0.3 } })
    expect(() => amendCard(card, { classes: ['a'] }, 'm.onnx')).toThrow('m.onnx: its detector card has 2 classes, 1 names were given')
    expect(() => amendCard(card, { decoder: 'yolox anchors=1' }, 'm.onnx')).toThrow('yolox has no setting "anchors"')
    expect(() => amendCard(card, { decoder: 'yolox scoresAre=maybe' }, 'm.onnx')).toThrow('m.onnx: its detector card is wrong')
    expect(() => amendCard(card, { preprocess: 'size=32x32' }, 'm.onnx')).toThrow('m.onnx: its detector card says 64x64')
  })
})

describe('parseSidecar', () => {
  it.each([['{', 'm.json: lies beside the model but is no JSON'], ['{"layers": 3}', 'm.json: lies beside the model but does not describe a detector']])('refuses %s', (text, message) => {
    expect(() => parseSidecar(text, 'm.json')).toThrow(message)
  })
})

describe('the real models', () => {
  const real = async (path: string): Promise<DetectorCard> => {
    const json = path.replace(/onnx$/, 'json')
    const store = nodeStore()
    const sidecar = (await store.stat(json)) ? parseSidecar(await store.readText(json), json) : undefined
    return cardFor(await probe(await loadModel(store, path)), {}, sidecar, path).card
  }
  const coco = (card: DetectorCard): void => expect([card.classes.length, card.classes[79]]).toEqual([80, 'toothbrush'])

  sharedIt('models/yolox_nano.onnx', 'yolox_nano', async (path) => {
    const card = await real(path)
    expect(card.decoder).toMatchObject({ type: 'yolox', scoresAre: 'probabilities', strides: [8, 16, 32] })
    coco(card)
  })
  sharedIt('models/nanodet_m_320.onnx', 'nanodet_m_320', async (path) => {
    const card = await real(path)
    expect(card.decoder).toMatchObject({ type: 'nanodet', bins: 8, scoresAre: 'probabilities', levels: [{ scores: 'cls_pred_stride_8', boxes: 'dis_pred_stride_8' }, { stride: 16 }, { stride: 32 }] })
    coco(card)
  })
  sharedIt('models/FastestDet.onnx', 'FastestDet', async (path) => {
    const card = await real(path)
    expect(card.decoder).toMatchObject({ type: 'fastestdet', output: '758' })
    coco(card)
  })
  sharedIt('models/yolo-fastest-1.1.onnx', 'yolo-fastest-1.1', async (path) => {
    const card = await real(path)
    expect(card.decoder).toMatchObject({ type: 'yolov3', heads: [{ output: 'L120.conv', anchors: [[115, 73], [119, 199], [242, 238]] }, { output: 'L129.conv' }] })
    coco(card)
  })
  sharedIt('models/version-RFB-320.onnx', 'version-RFB-320', async (path) => {
    const card = await real(path)
    expect(card).toMatchObject({ classes: ['face'], input: { width: 320, height: 240 }, channels: 'RGB', mean: [127, 127, 127], std: [128, 128, 128], resize: 'stretch' })
    expect(card.decoder).toMatchObject({ type: 'ssd', scoresAre: 'probabilities', boxesAre: 'corners', units: 'unit' })
  })
  sharedIt('models/mobilenetv1_0.25_imagenet_bn.onnx', 'a classifier is none', async (path) => {
    await expect(real(path)).rejects.toThrow('no decoder fits its outputs "logits" [1,1000]')
  })
})
