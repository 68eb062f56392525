/** @file A model of more than 2 GiB in a sparse file; run as a program, it takes the model through a cut and tells its peak memory. */
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { argv, resourceUsage } from 'node:process'
import { pathToFileURL } from 'node:url'
import { TensorProto_DataLocation } from 'onnx-buf'
import { loadModel } from '../../src/onnx/load.ts'
import { saveModel } from '../../src/onnx/save.ts'
import { foldConstants } from '../../src/passes/fold-constants.ts'
import { findGroups } from '../../src/pruning/groups.ts'
import { makePlan } from '../../src/pruning/plan.ts'
import { applyPlan } from '../../src/pruning/surgery.ts'
import { nodeStore } from '../../src/storage/node.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { float, info, modelBytes } from '../onnx/protos.ts'

/** Ten layers of 8192 features: 2.5 GiB. */
const features = 8192
const layers = 10
const layerBytes = features * features * 4
export const weightBytes = layers * layerBytes
/** What stays when 7 of 8 units of one layer go. */
export const cutBytes = (layers - 2 + 2 / 8) * layerBytes
const cutLayer = 3

/** Writes big.onnx and big.bin below `folder`: y = 2^10 x on the first feature, zeros elsewhere. Hardly any of it is on the disk. */
export function writeLargeModel(folder: string): string {
  const data = openSync(join(folder, 'big.bin'), 'w')
  ftruncateSync(data, weightBytes)
  for (let k = 0; k < layers; k++) writeSync(data, new Uint8Array(Float32Array.of(2).buffer), 0, 4, k * layerBytes)
  closeSync(data)
  const names = Array.from({ length: layers }, (_, k) => k)
  const bytes = modelBytes({
    nodes: names.map((k) => ({ opType: 'MatMul', name: `layer${k}`, input: [k === 0 ? 'x' : `h${k - 1}`, `w${k}`], output: [k === layers - 1 ? 'y' : `h${k}`] })),
    inputs: [info('x', float, [1, features])],
    outputs: [info('y', float, [1, features])],
    initializers: names.map((k) => ({
      name: `w${k}`, dataType: float, dims: [BigInt(features), BigInt(features)], dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: Object.entries({ location: 'big.bin', offset: k * layerBytes, length: layerBytes }).map(([key, value]) => ({ key, value: String(value) })),
    })),
  })
  const path = join(folder, 'big.onnx')
  writeFileSync(path, bytes)
  return path
}

/** The plan that keeps every eighth unit of one layer. */
function largePlan(model: Parameters<typeof findGroups>[0]): ReturnType<typeof makePlan> {
  const kept = Array.from({ length: features / 8 }, (_, i) => 8 * i)
  return makePlan(findGroups(model), new Map([[`w${cutLayer}`, kept]]), { method: 'test' })
}

/** Peak memory so far, bytes. */
const peak = (): number => resourceUsage().maxRSS * 1024

async function main(folder: string, name: string): Promise<void> {
  const store = nodeStore(folder)
  const before = peak()
  const file = await loadModel(store, name)
  const loaded = peak()
  const model = foldConstants(file)
  const weights = model.graph.initializers
  if (name !== 'big.onnx') {
    const corners = weights.map((v) => floats(v.initializer!)[0])
    return void process.stdout.write(JSON.stringify({ before, loaded, corners, dims: weights.map((v) => v.initializer!.dims) }))
  }
  const pruned = applyPlan(model, largePlan(model))
  const shared = pruned.graph.initializers.filter((v) => weights.some((w) => w.initializer === v.initializer)).length
  const cut = peak()
  await saveModel(store, 'cut.onnx', pruned)
  process.stdout.write(JSON.stringify({ before, loaded, cut, saved: peak(), shared }))
}

if (import.meta.url === pathToFileURL(argv[1] ?? '').href) await main(argv[2]!, argv[3]!)
