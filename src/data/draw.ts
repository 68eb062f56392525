/** @file Detections drawn into an image: frames and labels in a small built-in font, so that no system font is needed. */
import type { Detections, Image } from '../detection/annotation.ts'
import { glyphHeight, glyphRows, glyphWidth } from './glyphs.ts'

type Color = readonly [number, number, number]

/** A copy of the image with frames in the colour of the class, and "class score" on them; the best detection is on top. */
export function drawBoxes(image: Image, detections: Detections, classes: readonly string[]): Image {
  const out: Image = { ...image, data: image.data.slice() }
  const side = Math.max(image.width, image.height)
  const line = Math.max(1, Math.round(side / 320))
  const zoom = Math.max(1, Math.round(side / 400))
  for (let i = detections.labels.length - 1; i >= 0; i--) {
    const label = detections.labels[i]!
    const [x1, y1, x2, y2] = Array.from(detections.boxes.subarray(i * 4, i * 4 + 4), Math.round) as [number, number, number, number]
    const color = classColor(label)
    fill(out, x1, y1, x2, y1 + line, color)
    fill(out, x1, y2 - line, x2, y2, color)
    fill(out, x1, y1, x1 + line, y2, color)
    fill(out, x2 - line, y1, x2, y2, color)
    drawLabel(out, `${classes[label] ?? label} ${detections.scores[i]!.toFixed(2)}`, x1, y1, zoom, color)
  }
  return out
}

/** Hues a golden angle apart: neighbours in the list of classes never look alike. */
function classColor(label: number): Color {
  const hue = (label * 137.508 + 10) % 360
  const channel = (shift: number): number => {
    const k = (shift + hue / 60) % 6
    return Math.round(255 * (1 - 0.85 * Math.max(0, Math.min(k, 4 - k, 1))))
  }
  return [channel(5), channel(3), channel(1)]
}

/** On top of the frame; inside it where there is no room above, and never beyond the right edge if it fits at all. */
function drawLabel(image: Image, text: string, x: number, y: number, zoom: number, color: Color): void {
  const width = (text.length * (glyphWidth + 1) + 1) * zoom
  const height = (glyphHeight + 2) * zoom
  const left = Math.max(0, Math.min(x, image.width - width))
  const top = y - height >= 0 ? y - height : Math.max(0, y)
  fill(image, left, top, left + width, top + height, color)
  const dark = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 128
  const ink: Color = dark ? [0, 0, 0] : [255, 255, 255]
  let at = left + zoom
  for (const character of text) {
    glyphRows(character).forEach((row, j) => {
      for (let i = 0; i < glyphWidth; i++) {
        if (row & (1 << i)) fill(image, at + i * zoom, top + (j + 1) * zoom, at + (i + 1) * zoom, top + (j + 2) * zoom, ink)
      }
    })
    at += (glyphWidth + 1) * zoom
  }
}

function fill(image: Image, x1: number, y1: number, x2: number, y2: number, color: Color): void {
  for (let y = Math.max(0, y1); y < Math.min(image.height, y2); y++) {
    for (let x = Math.max(0, x1); x < Math.min(image.width, x2); x++) image.data.set(color, (y * image.width + x) * 3)
  }
}
