/** @file --ep wasm holds in every command that runs models: the native library is never asked. */
import { join } from 'node:path'
import { InferenceSession } from 'onnxruntime-node'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { cliJson, drawing, put, putModel, readJson, smallDetector, temporaryFolder } from './support.ts'

const folder = temporaryFolder()

/** Execution providers that the native library made sessions for; onnxruntime-web has a class of its own. */
const asked: unknown[] = []
const create = InferenceSession.create.bind(InferenceSession) as (...args: unknown[]) => Promise<InferenceSession>
Object.assign(InferenceSession, {
  create(...args: unknown[]) {
    asked.push(...(args.at(-1) as InferenceSession.SessionOptions).executionProviders!)
    return create(...args)
  },
})
beforeEach(() => void asked.splice(0))
afterAll(() => void Object.assign(InferenceSession, { create }))

const model = await putModel(folder, 'small.onnx', smallDetector())
const image = await put(folder, 'image.png', await drawing(0, 'png'))
const few = ['--data', 'shapes', '--limit', '8']
const at = (name: string): readonly string[] => ['--out', join(folder, name)]

const commands: Readonly<Record<string, readonly string[]>> = {
  eval: ['eval', model, ...few],
  predict: ['predict', model, image, ...at('drawn')],
  bench: ['bench', model, model, '--runs', '2', '--warmup', '0'],
  'inspect --sensitivity': ['inspect', model, '--sensitivity', '--data', 'shapes', '--images', '2'],
  'export --fp16': ['export', model, '--fp16', '--runs', '2', '--warmup', '0', ...at('half.onnx')],
  'export --int8': ['export', model, '--int8', ...few, '--images', '4', '--runs', '2', '--warmup', '0', ...at('integer.onnx')],
  train: ['train', '--arch', 'ssd-small', ...few, '--epochs', '1', '--batch', '4', ...at('train')],
  finetune: ['finetune', model, ...few, '--epochs', '1', '--batch', '4', ...at('finetune')],
  'prune without data': ['prune', model, '--method', 'l1', '--remove-params', '0.3', ...at('unmeasured')],
  'prune and recalibrate': ['prune', model, ...few, '--method', 'l1', '--remove-params', '0.3', '--recalibrate', '4', '--finetune-epochs', '0', ...at('pruned')],
  'prune and follow the teacher': ['prune', model, ...few, '--method', 'lcp', '--follow', 'teacher', '--remove-params', '0.3', '--finetune-epochs', '1', '--batch', '4', ...at('followed')],
}

describe('--ep wasm', () => {
  it.each(Object.entries(commands))('%s', async (_, argv) => {
    const json = await cliJson(...argv, '--ep', 'wasm')
    expect(asked).toEqual([])
    const machine = json['machine'] as { runtime: string } | undefined
    if (machine) expect(machine.runtime).toMatch(/^onnxruntime-web .*, wasm$/)
    const out = argv[argv.indexOf('--out') + 1]!
    if (['train', 'finetune', 'prune'].includes(argv[0]!)) expect((readJson(join(out, 'run.json')).versions as { runtime: string }).runtime).toMatch(/^onnxruntime-web .*, wasm$/)
  }, 180_000)

  it('the native library would be seen', async () => {
    await cliJson('bench', model, '--runs', '1', '--warmup', '0')
    expect(asked).toEqual(['cpu'])
  })
})
