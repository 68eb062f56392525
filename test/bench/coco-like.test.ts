/** @file The generated COCO data: files and flat arrays are the same data, with COCO's proportions. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { cocoLikeInput, cocoSized, writeCocoLike } from '../../bench/coco-like.ts'
import { scoreCocoFiles } from '../../src/metrics/coco-files.ts'
import { summarizeCoco } from '../../src/metrics/coco-map.ts'

const like = { ...cocoSized, images: 300, detections: 40 }

it('the files score as the arrays do', () => {
  const folder = mkdtempSync(join(tmpdir(), 'coco-like-'))
  try {
    const [truth, results] = [join(folder, 'truth.json'), join(folder, 'results.json')]
    writeCocoLike(like, truth, results)
    const score = scoreCocoFiles(JSON.parse(readFileSync(truth, 'utf8')), JSON.parse(readFileSync(results, 'utf8')), { truth, results })
    const flat = summarizeCoco(cocoLikeInput(like))
    expect(score).toMatchObject({ AP: flat.AP, APs: flat.APs, APm: flat.APm, APl: flat.APl, AR1: flat.AR1, AR100: flat.AR100, problems: [] })
    expect(flat.AP).toBeGreaterThan(0.1)
    expect(flat.AP).toBeLessThan(0.6)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

it('has as many objects, detections, crowds and ties as it says', () => {
  const { truth, detections } = cocoLikeInput(like)
  expect(truth.label.length / like.images).toBeGreaterThan(0.85 * like.objects)
  expect(truth.label.length / like.images).toBeLessThan(1.15 * like.objects)
  expect(detections.scores).toHaveLength(like.images * like.detections)
  const share = (of: (area: number) => boolean): number => truth.areas.filter(of).length / truth.areas.length
  expect(share((area) => area < 1024)).toBeCloseTo(0.41, 1)
  expect(share((area) => area > 9216)).toBeCloseTo(0.25, 1)
  expect(truth.crowd.reduce((sum, c) => sum + c, 0)).toBeGreaterThan(0)
  expect(new Set(detections.scores).size).toBeLessThan(detections.scores.length / 2)
})
