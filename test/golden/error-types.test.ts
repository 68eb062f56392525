/** @file Error types against tidecv, the authors' own implementation of TIDE. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { errorKinds, type ErrorTypes, errorTypes } from '../../src/metrics/error-types.ts'

interface Case {
  readonly name: string
  readonly images: number
  readonly classes: number
  /** image, class, x, y, width, height, crowd */
  readonly truth: readonly number[][]
  /** image, class, x, y, width, height, score */
  readonly detections: readonly number[][]
  readonly expected: ErrorTypes
}

const { cases } = JSON.parse(readFileSync(fileURLToPath(new URL('error-types.json', import.meta.url)), 'utf8')) as { cases: readonly Case[] }

it.each(cases.map((c) => [c.name, c] as const))('tidecv: %s', (_, { images, classes, truth, detections, expected }) => {
  const found = errorTypes({
    images,
    classes,
    truth: {
      ...columns(truth), areas: Float64Array.from(truth, (t) => t[4]! * t[5]!),
      crowd: Uint8Array.from(truth, (t) => t[6]!), ignore: new Uint8Array(truth.length),
    },
    detections: { ...columns(detections), scores: Float64Array.from(detections, (d) => d[6]!) },
  })
  expect(found.count).toEqual(expected.count)
  expect(found.AP50).toBeCloseTo(expected.AP50, 12)
  for (const kind of errorKinds) expect(found.dAP[kind], kind).toBeCloseTo(expected.dAP[kind], 12)
  expect(found.falsePositive).toBeCloseTo(expected.falsePositive, 12)
  expect(found.falseNegative).toBeCloseTo(expected.falseNegative, 12)
})

function columns(rows: readonly number[][]) {
  return { image: Int32Array.from(rows, (r) => r[0]!), label: Int32Array.from(rows, (r) => r[1]!), boxes: Float64Array.from(rows.flatMap((r) => r.slice(2, 6))) }
}
