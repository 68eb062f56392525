/** @file Weights of a classifier taken over into a detector's trunk, by names and shapes. */
import { setInitializer, cloneModel } from '../ir/edit.ts'
import type { Model, Value } from '../ir/graph.ts'
import { isFloat } from '../tensor/dtype.ts'
import { UserError } from '../tensor/error.ts'

export interface BackboneReport {
  /** Weights taken over: the detector's name and the classifier's. */
  readonly matched: readonly { readonly name: string; readonly from: string }[]
  /** Weights of the detector that keep their content. */
  readonly kept: readonly string[]
  /** Weights of the classifier that nothing asked for (its head, mostly). */
  readonly unused: readonly string[]
  /** Same name, other shape: neither taken. */
  readonly differ: readonly string[]
}

/** First parts of a name that only say how a model was wrapped. */
const wrappers = new Set(['features', 'backbone', 'model', 'module', 'encoder', 'base', 'body', 'trunk', 'net'])

/**
 * A copy of `detector` with the classifier's weights wherever name and shape agree: names as they are first, then without wrappers
 * such as `features.` or `backbone.` on either side. Throws UserError, naming `file`, where nothing agrees.
 */
export function loadBackbone(detector: Model, classifier: Model, file: string): { model: Model; report: BackboneReport } {
  const { model } = cloneModel(detector)
  const targets = model.graph.initializers.filter(isWeight)
  const sources = classifier.graph.initializers.filter(isWeight)
  const exact = new Map(sources.map((v) => [v.name, v]))
  const bare = uniqueByBareName(sources)
  const bareTargets = uniqueByBareName(targets)
  const used = new Set<Value>()
  const matched: { name: string; from: string }[] = []
  const kept: string[] = []
  const differ: string[] = []
  for (const target of targets) {
    const key = bareName(target.name)
    const candidates = [exact.get(target.name), bareTargets.get(key) === target ? bare.get(key) : undefined].filter((v) => v !== undefined)
    const source = candidates.find((v) => v.initializer!.dims.join() === target.initializer!.dims.join() && v.initializer!.dtype === target.initializer!.dtype)
    if (source) {
      setInitializer(target, source.initializer!)
      used.add(source)
      matched.push({ name: target.name, from: source.name })
    } else {
      kept.push(target.name)
      const other = candidates[0]
      if (other) differ.push(`"${target.name}" is [${target.initializer!.dims.join(',')}], "${other.name}" of ${file} is [${other.initializer!.dims.join(',')}]`)
    }
  }
  if (matched.length === 0) {
    const why = differ.length ? `names agree, shapes do not: ${differ[0]}` : `the detector's weights are called ${some(targets)}, the classifier's ${some(sources)}`
    throw new UserError(`${file}: none of its ${sources.length} weights fits the detector; ${why}. Export a classifier of the same trunk with its layer names kept (and BatchNormalization not folded)`)
  }
  return { model, report: { matched, kept, unused: sources.filter((v) => !used.has(v)).map((v) => v.name), differ } }
}

function isWeight(v: Value): boolean {
  return v.initializer !== undefined && isFloat(v.initializer.dtype) && v.initializer.dims.length > 0
}

function bareName(name: string): string {
  const parts = name.split('.')
  while (parts.length > 1 && wrappers.has(parts[0]!)) parts.shift()
  return parts.join('.')
}

/** Values by bare name; names that two values share are left out, for a guess would be as often wrong as right. */
function uniqueByBareName(values: readonly Value[]): Map<string, Value> {
  const found = new Map<string, Value>()
  const shared = new Set<string>()
  for (const v of values) {
    const key = bareName(v.name)
    if (found.has(key)) shared.add(key)
    found.set(key, v)
  }
  for (const key of shared) found.delete(key)
  return found
}

function some(values: readonly Value[]): string {
  return `${values.slice(0, 3).map((v) => `"${v.name}"`).join(', ')}${values.length > 3 ? ', ...' : ''}`
}
