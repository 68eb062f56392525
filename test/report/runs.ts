/** @file Records of runs, written out for the tests of the report. */
import { memoryStore } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'

const state = (AP: number, params: number) => ({
  params, macs: 10 * params, images: 4, AP, AP50: AP + 0.3, AP75: AP, APs: AP - 0.2, APm: AP - 0.1, APl: -1,
  errorTypes: {
    AP50: AP + 0.3,
    dAP: { classification: 0.01, localization: 0.5 - AP, both: 0, duplicate: 0.02, background: 0.03, missed: 0.04 },
    falsePositive: 0.1, falseNegative: 0.05,
    count: { classification: 1, localization: 7, both: 0, duplicate: 2, background: 3, missed: 4 },
  },
})

/** A run of prune as run.json has it; `change` overrides parts. */
export function pruneRecord(method: string, seed: number, AP: number, change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    measured: true,
    before: state(0.4, 400_000),
    cut: state(0.1, 120_000),
    after: state(AP, 120_000),
    passes: { selection: 10, stage: 20, update: 5, finetune: 65, total: 100 },
    seconds: 90,
    bestEpoch: 2,
    certificate: { ok: true, maxRelError: 2.5e-7, tolerance: 1e-4, inputs: 4, images: 2, outputs: [{ name: 'scores', maxDifference: 1e-6, maxReference: 4, relative: 2.5e-7 }] },
    widths: { 'layer1.conv1.weight': { before: 64, after: 16 }, 'layer2.conv1.weight': { before: 128, after: 40 }, 'conv1.weight': { before: 64, after: 64 } },
    ...(method === 'lcp' && { stages: [{ end: 'layer2.out', layers: [
      { weight: 'layer1.conv2.weight', group: 'layer1.conv1.weight', gradientReconstruction: 0, gradientLocalization: 20 },
      { weight: 'layer2.conv2.weight', group: 'layer2.conv1.weight', gradientReconstruction: 3, gradientLocalization: 40 },
    ] }] }),
    epochs: [{ epoch: 1, classification: 2, localization: 1, AP: 0.2 }, { epoch: 2, classification: 1.5, localization: 0.8, AP: 0.35 }],
    model: `runs/train-s${seed}/model.onnx`,
    method, arch: 'ssd-small', data: 'data/cells', split: 'test', seed,
    options: { method, removeParams: 0.7, seed, out: `runs/${method}-s${seed}` },
    versions: { espalier: '0.1.0', runtime: 'onnxruntime-node 1.30.0' },
    ...change,
  }
}

/** A store with a folder for each run. */
export function storeOf(runs: Readonly<Record<string, Record<string, unknown> | string>>, log?: string): Store {
  const files: Record<string, string> = {}
  for (const [folder, record] of Object.entries(runs)) {
    files[`${folder}/run.json`] = typeof record === 'string' ? record : JSON.stringify(record)
    if (log !== undefined) files[`${folder}/log.txt`] = log
  }
  return memoryStore(files)
}
