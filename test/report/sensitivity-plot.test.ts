/** @file The sensitivity picture: sound SVG that renders, with every group, its scale and both colour schemes. */
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { parseHTML } from 'linkedom'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { type PlottedGroup, sensitivityPlot } from '../../src/report/sensitivity-plot.ts'

const { document } = parseHTML('<!DOCTYPE html><html><body></body></html>')
const about = { title: 'Sensitivity of a & b.onnx', subtitle: '4 images of split "val", seed 0' }

function groups(count: number, withScore = false): PlottedGroup[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `layer${i}.conv.weight`,
    channels: 16,
    cuts: [0.3, 0.5, 0.7].map((share) => ({ share, harm: share / (i + 1), ...(withScore && { score: 0.5 - share / (i + 2) }) })),
  }))
}

/** Red, green and blue of the pixel in the middle of a rectangle of the picture. */
async function colourAt(svg: string, x: number, y: number): Promise<number[]> {
  const { data, info } = await sharp(Buffer.from(svg)).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  return [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)]
}

function barsOf(svg: string): { x: number; y: number; width: number; height: number }[] {
  const group = /<g[^>]*aria-label="bar"[^>]*>.*?<\/g>/s.exec(svg)![0]
  return [...group.matchAll(/<rect [^>]*>/g)].map(([rect]) => {
    const at = (name: string): number => Number(new RegExp(` ${name}="([^"]+)"`).exec(rect)![1])
    return { x: at('x'), y: at('y'), width: at('width'), height: at('height') }
  })
}

describe('sensitivityPlot', () => {
  it('is an SVG of its own, with a title and light, dark and print colours', () => {
    const svg = sensitivityPlot({ ...about, groups: groups(3) }, document)
    expect(XMLValidator.validate(svg)).toBe(true)
    const root = (new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '' }).parse(svg) as { svg: { xmlns: string; title: string; style: string } }).svg
    expect(root.xmlns).toBe('http://www.w3.org/2000/svg')
    expect(root.title).toBe('Sensitivity of a & b.onnx')
    expect(root.style).toContain('@media (prefers-color-scheme: dark)')
    expect(root.style).toContain('@media print')
    for (const id of ['layer0.conv.weight', 'layer1.conv.weight', 'layer2.conv.weight']) expect(svg).toContain(`>${id}<`)
    for (const share of ['30%', '50%', '70%']) expect(svg).toContain(`>${share}<`)
  })

  it('draws bars as long as the harm of the middle cut, top to bottom, and renders', async () => {
    const svg = sensitivityPlot({ ...about, groups: groups(4) }, document)
    const bars = barsOf(svg)
    expect(bars.map((b) => b.width / bars[0]!.width)).toEqual([1, 1 / 2, 1 / 3, 1 / 4].map((x) => expect.closeTo(x, 5)))
    for (let i = 1; i < 4; i++) expect(bars[i]!.y).toBeGreaterThan(bars[i - 1]!.y)
    const offset = Number(/<svg[^>]* y="(\d+)"/.exec(svg)![1])
    const first = bars[0]!
    const [r, g, b] = await colourAt(svg, Math.round(first.x + 8), offset + Math.round(first.y + 3))
    expect([r! < g!, g! < b!]).toEqual([true, true])
    expect(await colourAt(svg, 2, 2)).toEqual([255, 255, 255])
  })

  it('adds AP beside it, with the uncut model as a line, and groups are named once', () => {
    const svg = sensitivityPlot({ ...about, groups: groups(3, true), score: 0.5 }, document)
    expect(svg).toContain('AP of the cut model (line: uncut)')
    expect(svg.match(/>layer1\.conv\.weight</g)).toHaveLength(1)
    expect(svg.match(/aria-label="bar"/g)).toHaveLength(2)
    expect(svg).toContain('stroke-dasharray')
  })

  it('says where outputs were not finite, and where no harm was done draws an empty scale', () => {
    const [good, bad] = groups(2)
    const svg = sensitivityPlot({ ...about, groups: [good!, { ...bad!, cuts: bad!.cuts.map((c) => ({ ...c, harm: Number.NaN })) }] }, document)
    expect(svg).toContain('>not finite<')
    expect(barsOf(svg)).toHaveLength(1)
    const flat = sensitivityPlot({ ...about, groups: groups(2).map((g) => ({ ...g, cuts: g.cuts.map((c) => ({ ...c, harm: 0 })) })) }, document)
    expect(flat).not.toContain('NaN')
    expect(XMLValidator.validate(flat)).toBe(true)
  })
})
