/** @file Decoding and resizing by sharp: every kind of pixel becomes RGB, and pixels go where boxes go. */
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { cropResize, decodeImage, drawDetections, encodeImage, imageSize, resizeImage } from '../../src/data/image-node.ts'
import { resample } from '../../src/data/resample.ts'
import type { Image } from '../../src/detection/annotation.ts'
import { UserError } from '../../src/tensor/error.ts'

const plain = (channels: 3 | 4 = 3) => sharp({ create: { width: 9, height: 6, channels, background: { r: 200, g: 100, b: 50, alpha: 0.5 } } })
/** A smooth pattern, different in each direction and channel. */
function pattern(width: number, height: number): Image {
  const data = new Uint8Array(width * height * 3)
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) for (let c = 0; c < 3; c++) data[(y * width + x) * 3 + c] = 128 + 100 * Math.sin(x / (3 + c) + y / 7)
  return { width, height, data }
}

describe('decodeImage', () => {
  const cases: [string, () => Promise<Buffer>, number[]][] = [
    ['RGB', () => plain().png().toBuffer(), [200, 100, 50]],
    ['alpha', () => plain(4).png().toBuffer(), [200, 100, 50]],
    ['grey', () => plain().greyscale().png().toBuffer(), [128, 128, 128]],
    ['grey JPEG', () => plain().greyscale().jpeg().toBuffer(), [128, 128, 128]],
    ['grey and alpha', () => plain(4).greyscale().png().toBuffer(), [128, 128, 128]],
    ['16 bits', () => plain().toColourspace('rgb16').png().toBuffer(), [200, 100, 50]],
    ['a palette', () => plain().png({ palette: true }).toBuffer(), [200, 100, 50]],
  ]
  it.each(cases)('gives RGB for %s', async (_, encode, expected) => {
    const image = await decodeImage(await encode())
    expect([image.width, image.height, image.data.length]).toEqual([9, 6, 162])
    expect(Array.from(image.data.subarray(159))).toEqual(expected)
  })

  it('gives about RGB for CMYK', async () => {
    const image = await decodeImage(await plain().toColourspace('cmyk').jpeg().toBuffer())
    expect(image.data.length).toBe(162)
    ;[200, 100, 50].forEach((v, i) => expect(Math.abs(image.data[i]! - v)).toBeLessThan(40))
  })

  it('keeps the stored orientation', async () => {
    const bytes = await plain().withMetadata({ orientation: 6 }).jpeg().toBuffer()
    expect(await imageSize(bytes)).toEqual({ width: 9, height: 6 })
    expect(await decodeImage(bytes)).toMatchObject({ width: 9, height: 6 })
  })

  it('gives the bare reason for what is no image or cut short', async () => {
    const jpeg = await encodeImage(pattern(64, 64))
    for (const bytes of [new TextEncoder().encode('hello'), new Uint8Array(0), jpeg.subarray(0, jpeg.length / 2)]) {
      const error: unknown = await decodeImage(bytes).catch((e: unknown) => e)
      expect(error).toBeInstanceOf(UserError)
      expect(String(error)).toMatch(/is no readable image \((contains unsupported|is empty|premature end)[^\n]*\)/)
      expect(String(error)).not.toMatch(/vips/i)
    }
    await expect(imageSize(new Uint8Array(3))).rejects.toBeInstanceOf(UserError)
    const png = await encodeImage(pattern(64, 64), 'png')
    await expect(imageSize(png.subarray(0, 40))).rejects.toThrow('is no readable image (truncated or damaged)')
    await expect(decodeImage(png.subarray(0, png.length / 2))).rejects.toThrow('is no readable image (libpng read error)')
  })
})

describe('cropResize', () => {
  const image = pattern(120, 90)

  it('shrinks as the triangle filter does, but for the outermost pixels', async () => {
    for (const [w, h] of [[50, 40], [60, 45], [119, 90], [33, 80]] as const) {
      const a = await resizeImage(image, w, h)
      const b = resample(image, { x: 0, y: 0, width: 120, height: 90 }, w, h)
      let worst = 0
      for (let y = 1; y < h - 1; y++) for (let i = (y * w + 1) * 3; i < (y * w + w - 1) * 3; i++) worst = Math.max(worst, Math.abs(a.data[i]! - b.data[i]!))
      expect(worst).toBeLessThanOrEqual(2)
    }
  })

  it('enlarges without a shift', async () => {
    const ramp: Image = { width: 16, height: 1, data: Uint8Array.from({ length: 48 }, (_, i) => 10 + 10 * Math.floor(i / 3)) }
    const out = await resizeImage(ramp, 32, 1)
    for (let x = 1; x < 31; x++) expect(Math.abs(out.data[x * 3]! - (10 + 10 * ((x + 0.5) / 2 - 0.5)))).toBeLessThanOrEqual(0.5)
  })

  it('cuts out a part and gives an image back as it is at its own size', async () => {
    expect((await cropResize(image, { x: 0, y: 0, width: 120, height: 90 }, 120, 90, [0, 0, 0])).data).toEqual(image.data)
    const part = await cropResize(image, { x: 10, y: 20, width: 5, height: 4 }, 5, 4, [0, 0, 0])
    expect(Array.from(part.data.subarray(0, 15))).toEqual(Array.from(image.data.subarray((20 * 120 + 10) * 3, (20 * 120 + 15) * 3)))
  })

  it.each([[10, 20], [100, 80]])('fills around the image, shrinking or enlarging (to %i x %i)', async (w, h) => {
    const grey: Image = { width: 20, height: 20, data: new Uint8Array(1200).fill(50) }
    const out = await cropResize(grey, { x: -20, y: 0, width: 40, height: 40 }, w, h, [1, 2, 3])
    const at = (x: number, y: number): number[] => Array.from(out.data.subarray((y * w + x) * 3, (y * w + x) * 3 + 3))
    expect([out.width, out.height, out.data.length]).toEqual([w, h, w * h * 3])
    expect(at(w / 2 - 1, 0)).toEqual([1, 2, 3])
    expect(at(w / 2, 0)).toEqual([50, 50, 50])
    expect(at(w - 1, h / 2 - 1)).toEqual([50, 50, 50])
    expect(at(w - 1, h / 2)).toEqual([1, 2, 3])
  })
})

describe('drawDetections', () => {
  const detections = { boxes: Float32Array.of(20, 30, 80, 70), scores: Float32Array.of(0.5), labels: Int32Array.of(1) }
  it('draws a frame and a label, in a copy', async () => {
    const image: Image = { width: 100, height: 80, data: new Uint8Array(24000) }
    const drawn = await decodeImage(await drawDetections(image, detections, ['ant', 'bee'], 'png'))
    const at = (x: number, y: number): number => drawn.data.subarray((y * 100 + x) * 3, (y * 100 + x) * 3 + 3).reduce((a, b) => a + b)
    for (const [x, y] of [[50, 30], [50, 69], [20, 50], [79, 50]] as const) expect(at(x, y)).toBeGreaterThan(0)
    for (const [x, y] of [[50, 31], [50, 70], [19, 50], [80, 50], [50, 50]] as const) expect(at(x, y)).toBe(0)
    expect(at(20, 21)).toBeGreaterThan(0) // the label's ground, 9 rows above the frame
    expect(at(20, 20)).toBe(0)
    expect(image.data.every((v) => v === 0)).toBe(true)
  })
  it('writes JPEG by default', async () => {
    const bytes = await drawDetections(pattern(40, 30), { ...detections, boxes: Float32Array.of(-5, -5, 60, 60) }, ['ant', 'bee'])
    expect([bytes[0], bytes[1]]).toEqual([0xff, 0xd8])
    expect(await imageSize(bytes)).toEqual({ width: 40, height: 30 })
  })
})
