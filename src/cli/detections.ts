/** @file The file of a run that keeps what its detector found in the measured split. */
import { detectionsName, packDetections } from '../metrics/detections-file.ts'
import { nodeStore } from '../storage/node.ts'
import type { Evaluation } from '../train/evaluate.ts'

/** For RunFolder.finish. `classes`: the detector's. */
export function detectionsFile({ found }: Evaluation, split: string, classes: readonly string[]): Readonly<Record<string, (path: string) => Promise<void>>> {
  return { [detectionsName]: async (path) => nodeStore().writeAtomic(path, await packDetections({ split, classes, images: found })) }
}
