/** @file The registry: finds an op's entry by its name. */
import type { OpDef } from './define.ts'
import { activations } from './activations.ts'
import { controls } from './control.ts'
import { conv } from './conv.ts'
import { einsum } from './einsum.ts'
import { elementwise } from './elementwise.ts'
import { linalg } from './linalg.ts'
import { logic } from './logic.ts'
import { movement } from './movement.ts'
import { indexing } from './indexing.ts'
import { norm } from './norm.ts'
import { pool } from './pool.ts'
import { quantization } from './quantization.ts'
import { reduce } from './reduce.ts'
import { reshapes } from './reshape.ts'
import { selection } from './selection.ts'
import { shapeOps } from './shape-ops.ts'
import { pad } from './pad.ts'
import { slice } from './slice.ts'
import { softmax } from './softmax.ts'
import { resize } from './resize.ts'
import { sampling } from './sampling.ts'
import { trigonometry } from './trigonometry.ts'

const entries = new Map<string, OpDef>()
for (const family of [elementwise, activations, trigonometry, logic, conv, pool, norm, linalg, reduce, softmax, movement, reshapes, [slice, pad], indexing, selection, shapeOps, resize, sampling, einsum, quantization, controls]) {
  for (const def of family) {
    if (entries.has(def.type)) throw new Error(`op ${def.type} is defined twice`)
    entries.set(def.type, def)
  }
}

/** The entry of an op, or undefined when the project does not know it. */
export function lookup(type: string, domain = ''): OpDef | undefined {
  return domain === '' || domain === 'ai.onnx' ? entries.get(type) : undefined
}

/** All entries, in no order that means anything. */
export function allOps(): readonly OpDef[] {
  return [...entries.values()]
}
