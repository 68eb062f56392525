/** @file The runtime as an oracle: runs a model's bytes on seeded random inputs. */
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { createRng } from '../../src/tensor/rng.ts'

/** Random float32 inputs for every input of the session; symbolic axes get length `free`. */
export async function runOnRandom(bytes: Uint8Array, options: { seed?: string; batch?: number; inputs?: Record<string, OrtTensor> } = {}): Promise<Record<string, OrtTensor>> {
  const session = await InferenceSession.create(bytes, { graphOptimizationLevel: 'basic', logSeverityLevel: 3 })
  try {
    const feeds: Record<string, OrtTensor> = { ...options.inputs }
    const rng = createRng(options.seed ?? 'inputs')
    for (const info of session.inputMetadata) {
      if (!info.isTensor || feeds[info.name]) continue
      const dims = info.shape.map((d, i) => (typeof d === 'number' && d > 0 ? d : i === 0 ? (options.batch ?? 1) : 4))
      const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => rng.uniform(-1, 1))
      feeds[info.name] = new OrtTensor('float32', data, dims)
    }
    return await session.run(feeds)
  } finally {
    await session.release()
  }
}

/** max|a - b| / max|b| over all outputs. */
export function worstDifference(a: Record<string, OrtTensor>, b: Record<string, OrtTensor>): number {
  let worst = 0
  if (Object.keys(a).join() !== Object.keys(b).join()) throw new Error(`outputs ${Object.keys(a).join()} and ${Object.keys(b).join()}`)
  for (const [name, x] of Object.entries(a)) {
    const y = b[name]!
    if (x.dims.join() !== y.dims.join()) throw new Error(`${name}: dims [${x.dims.join()}] and [${y.dims.join()}]`)
    const p = x.data as ArrayLike<number | bigint>
    const q = y.data as ArrayLike<number | bigint>
    let difference = 0
    let scale = 1e-30
    for (let i = 0; i < p.length; i++) {
      difference = Math.max(difference, Math.abs(Number(p[i]) - Number(q[i])))
      scale = Math.max(scale, Math.abs(Number(q[i])))
    }
    worst = Math.max(worst, difference / scale)
  }
  return worst
}

export const sharedModels = ['FastestDet', 'mobilenetv1_0.25_imagenet_bn', 'nanodet_m_320', 'version-RFB-320', 'yolo-fastest-1.1', 'yolox_nano'].map((n) => `models/${n}.onnx`)
