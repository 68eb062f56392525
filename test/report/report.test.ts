/** @file The page of a run and of several: all that it should hold, sound, escaped and on its own. */
import { parseHTML } from 'linkedom'
import { describe, expect, it } from 'vitest'
import { readRuns } from '../../src/report/record.ts'
import { pageLimit, reportOf, type ReportOptions } from '../../src/report/report.ts'
import { pruneRecord, storeOf } from './runs.ts'

const { document } = parseHTML('<!DOCTYPE html><html><body></body></html>')
const sections = ['summary', 'trade-off', 'sizes', 'errors', 'channels', 'gradients', 'losses', 'samples', 'options', 'certificate', 'versions']

async function pageOf(runs: Readonly<Record<string, Record<string, unknown>>>, options: Omit<ReportOptions, 'document'> = {}, log?: string): Promise<{ page: string; dom: Document }> {
  const page = reportOf(await readRuns(storeOf(runs, log), Object.keys(runs)), { document, ...options })
  return { page, dom: parseHTML(page).document }
}

function textOf(dom: Document, selector: string): string {
  return dom.querySelector(selector)!.textContent!.replace(/\s+/g, ' ').trim()
}

function rowsOf(dom: Document, selector: string): string[][] {
  return [...dom.querySelectorAll(`${selector} tr`)].map((row) => [...row.querySelectorAll('th, td')].map((cell) => cell.textContent!))
}

const dots = (dom: Document, section: string): number => dom.querySelectorAll(`#${section} figure > svg [aria-label="dot"] path, #${section} figure > svg [aria-label="dot"] circle`).length

describe('one run', () => {
  const one = { 'runs/lcp-s0': pruneRecord('lcp', 0, 0.38) }

  it('has every section, linked from the top', async () => {
    const { dom } = await pageOf(one)
    expect([...dom.querySelectorAll('section')].map((s) => s.id)).toEqual(sections)
    expect([...dom.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))).toEqual(sections.map((id) => `#${id}`))
    expect(textOf(dom, 'title')).toBe('lcp: lcp-s0')
    expect(textOf(dom, 'header p')).toBe('detector ssd-small; data data/cells; split test')
  })

  it('tells the numbers of all states', async () => {
    const { dom } = await pageOf(one)
    expect(rowsOf(dom, '#summary')).toEqual([
      ['detector', 'params', 'MACs', 'AP', 'AP50', 'AP75', 'latency'],
      ['before', '400.0 k', '4.00 M', '0.400', '0.700', '0.400', '-'],
      ['just cut', '120.0 k', '1.20 M', '0.100', '0.400', '0.100', '-'],
      ['after', '120.0 k', '1.20 M', '0.380', '0.680', '0.380', '-'],
    ])
    expect(textOf(dom, '#summary caption')).toBe('lcp; 70.0% of the parameters removed; 70.0% of the MACs removed; measured on split "test"; 100 passes over images; 90.0 s')
    expect(rowsOf(dom, '#errors')).toContainEqual(['localization', '7', '7', '7'])
    expect(rowsOf(dom, '#options')).toContainEqual(['removeParams', '0.7'])
    expect(textOf(dom, '#certificate caption')).toContain('The proof holds: 2.50e-7, allowed is 0.000100, on 4 inputs, 2 of them images')
    expect(rowsOf(dom, '#versions')).toContainEqual(['runtime', 'onnxruntime-node 1.30.0'])
  })

  it('draws what there is: a dot a number, a bar a cut layer', async () => {
    const { dom } = await pageOf(one)
    expect(dots(dom, 'trade-off')).toBe(4) // before and after, by parameters and MACs
    expect(dots(dom, 'sizes')).toBe(6) // small and medium of three states; no object is large
    expect(textOf(dom, '#sizes svg')).not.toContain('large')
    expect(dots(dom, 'errors')).toBe(24)
    expect(textOf(dom, '#channels svg')).toContain('16 of 64')
    expect(textOf(dom, '#channels svg')).not.toContain('conv1.weight64')
    expect(textOf(dom, '#channels figcaption')).toContain('1 more that can be cut kept all their channels')
    expect(dots(dom, 'gradients')).toBe(3) // one norm is 0
  })

  it('draws the losses of the log', async () => {
    const line = (step: number, loss: number): string => `2026-01-01T00:00:00.000Z stage layer2.out: fine-tune: ${step}/50 steps, 1.4 images/s, ETA 4:25, loss ${loss}`
    const { dom } = await pageOf(one, {}, [line(2, 2.5), line(25, 2), line(50, 1.5)].join('\n'))
    expect(textOf(dom, '#losses')).toContain('stage layer2.out: fine-tune')
    expect(dom.querySelectorAll('#losses figure > svg [aria-label="line"] path')).toHaveLength(4)
  })

  it('leaves out what is not there, with a word why', async () => {
    const { before, after, method, options, versions, widths } = pruneRecord('l1', 0, 0.3) as Record<string, { params: number; macs: number }>
    const bare = { before: { params: before!.params, macs: null }, after: { params: after!.params, macs: null }, method: method!, options: options!, versions: versions!, widths: widths!, data: null, model: null }
    const { page, dom } = await pageOf({ 'runs/l1': bare })
    expect(page).not.toContain('NaN')
    expect(page).not.toContain('undefined')
    for (const [section, why] of [['trade-off', 'No AP was measured.'], ['sizes', 'No AP was measured'], ['errors', 'did not record'], ['gradients', 'without gradients'], ['losses', 'Nothing was trained'], ['samples', 'No sample images'], ['certificate', 'Nothing was cut']] as const) {
      expect(textOf(dom, `#${section}`), section).toContain(why)
    }
    const trained = { method: 'train', params: 400, macs: 4000, AP: 0.3, AP50: 0.5, options: {}, versions: {}, epochs: [{ epoch: 1, classification: null, localization: null }] }
    const training = await pageOf({ 'runs/base': trained })
    expect(rowsOf(training.dom, '#summary').map((row) => row[0])).toEqual(['detector', 'trained'])
    expect(textOf(training.dom, '#losses')).toContain('none is a finite number')
  })

  it('shows latency where it was measured', async () => {
    const { dom } = await pageOf({ 'runs/lcp': pruneRecord('lcp', 0, 0.38, { latency: { measured: { beforeMs: 12, afterMs: 5.5 } } }) })
    expect(rowsOf(dom, '#summary').map((row) => row.at(-1))).toEqual(['latency', '12.00 ms', '-', '5.50 ms'])
    expect(dots(dom, 'trade-off')).toBe(6)
  })

  it('says so where AP is agreement with the unpruned detector', async () => {
    expect(textOf((await pageOf({ r: pruneRecord('l1', 0, 0.3, { labels: 'teacher' }) })).dom, '#summary caption')).toContain('against the unpruned detector\'s own detections')
  })
})

describe('several runs', () => {
  const several = Object.fromEntries([0, 1, 2].flatMap((seed) => [
    [`runs/lcp-s${seed}`, pruneRecord('lcp', seed, 0.36 + 0.01 * seed)],
    [`runs/l1-s${seed}`, pruneRecord('l1', seed, 0.3 + 0.02 * seed)],
  ]))

  it('has means and deviations over seeds', async () => {
    const { dom } = await pageOf(several)
    expect(rowsOf(dom, '#summary')).toEqual([
      ['method', 'AP before', 'AP just cut', 'AP after', 'AP50 after', 'AP75 after'],
      ['lcp', '0.400 ± 0.000', '0.100 ± 0.000', '0.370 ± 0.010', '0.670 ± 0.010', '0.370 ± 0.010'],
      ['l1', '0.400 ± 0.000', '0.100 ± 0.000', '0.320 ± 0.020', '0.620 ± 0.020', '0.320 ± 0.020'],
      ['method', 'runs', 'params', 'params removed', 'MACs', 'MACs removed', 'latency, ms'],
      ['lcp', '3', '120.0 k', '70.0%', '1.20 M', '70.0%', '-'],
      ['l1', '3', '120.0 k', '70.0%', '1.20 M', '70.0%', '-'],
    ])
  })

  it('draws error bars as long as the deviations', async () => {
    const { dom } = await pageOf(several)
    const svg = dom.querySelector('#trade-off figure > svg')!
    const bars = [...svg.querySelectorAll('[aria-label="rule"] line')].map((l) => Math.abs(Number(l.getAttribute('y2')) - Number(l.getAttribute('y1'))))
    expect(bars).toHaveLength(2)
    expect(bars[1]! / bars[0]!).toBeCloseTo(2, 5)
  })

  it('takes latencies of an experiment, of one run for all seeds', async () => {
    const folders = { 'exp/base-s0': { ...pruneRecord('train', 0, 0.4), before: undefined, after: undefined, cut: undefined, model: undefined, params: 400_000, macs: 4_000_000, AP: 0.4 }, ...Object.fromEntries([0, 1].map((seed) => [`exp/lcp-s${seed}`, pruneRecord('lcp', seed, 0.36 + 0.01 * seed, { model: `exp/base-s${seed}/model.onnx` })])) }
    const store = storeOf(folders)
    await store.writeAtomic('exp/latency.json', JSON.stringify({ runs: 30, models: { 'base-s0': { medianMs: 12, file: 'model.onnx' }, 'lcp-s0': { medianMs: 5, file: 'pruned.onnx' } } }))
    const runs = await readRuns(store, ['exp'])
    expect(runs.map((r) => r.latency)).toEqual([{ afterMs: 12 }, { afterMs: 5, beforeMs: 12 }, undefined])
    const dom = parseHTML(reportOf(runs, { document })).document
    expect(dots(dom, 'trade-off')).toBe(9) // before, train and lcp, by each of three costs
    expect(dom.querySelectorAll('#trade-off figure:last-child [aria-label="rule"] line')).toHaveLength(1)
    await store.writeAtomic('exp/latency.json', '[]')
    await expect(readRuns(store, ['exp'])).rejects.toThrow('exp/latency.json: is not the latencies of an experiment; remove it')
  })

  it('tells apart what differs and what all share', async () => {
    const { dom } = await pageOf({ ...several, 'runs/half': pruneRecord('lcp', 0, 0.39, { options: { method: 'lcp', removeParams: 0.5, seed: 0, out: 'x' } }) })
    expect([...dom.querySelectorAll('#options caption')].map((c) => c.textContent)).toEqual(['Options that differ', 'Options that all runs share', 'The runs'])
    expect(rowsOf(dom, '#options')).toContainEqual(['removeParams', '0.7', '0.7', '0.5'])
    // Methods with the same widths are one series.
    expect(textOf(dom, '#channels .legend')).toBe('lcp, removeParams 0.7 = l1 = lcp, removeParams 0.5')
    expect(rowsOf(dom, '#certificate')).toHaveLength(8)
  })
})

describe('the page itself', () => {
  it('escapes whatever names hold', async () => {
    const evil = '<script>alert("1")</script>&\'<img src=x>'
    const record = pruneRecord('lcp', 0, 0.38, {
      arch: evil, data: evil, split: evil, versions: { [evil]: evil }, options: { [evil]: evil, nested: { [evil]: [evil] } },
      widths: { [evil]: { before: 8, after: 4 } },
      certificate: { ok: true, maxRelError: 0, inputs: 1, outputs: [{ name: evil, maxDifference: 0, maxReference: 1, relative: 0 }] },
      stages: [{ end: evil, layers: [{ weight: evil, group: evil, gradientReconstruction: 1, gradientLocalization: 2 }] }],
    })
    const picture = { label: evil, base64: 'AAAA', width: 4, height: 4, alt: evil, quality: 0.5 }
    const { page, dom } = await pageOf({ run: record }, { title: evil, samples: [{ run: evil, why: evil }, { run: evil, samples: [{ name: evil, pictures: [picture] }], images: 1, split: evil, threshold: 0.3, compared: true }] })
    expect(page).not.toMatch(/<script|<img src=x/)
    expect(dom.querySelectorAll('script')).toHaveLength(0)
    expect(textOf(dom, 'h1')).toBe(evil)
    expect(rowsOf(dom, '#certificate').at(-1)![0]).toBe(evil)
    expect(dom.querySelector('img')!.getAttribute('alt')).toBe(`${evil}, ${evil}: ${evil}`)
  })

  it('refers to nothing outside', async () => {
    const { page, dom } = await pageOf({ run: pruneRecord('lcp', 0, 0.38) }, { samples: [{ run: 'run', images: 1, split: 'test', threshold: 0.3, compared: true, samples: [{ name: 'a', pictures: [{ label: 'after', base64: 'AAAA', width: 4, height: 4, alt: '1 cat' }] }] }] })
    expect(page.replaceAll(/xmlns(:xlink)?="http:\/\/www\.w3\.org\/[^"]*"/g, '')).not.toMatch(/https?:|\/\/\w|@import|url\(/)
    for (const element of dom.querySelectorAll('[href], [src]')) expect(element.getAttribute('href') ?? element.getAttribute('src')).toMatch(/^(#|data:image\/webp;base64,)/)
    expect(dom.querySelectorAll('script, link, iframe, object')).toHaveLength(0)
  })

  it('can be read without seeing it', async () => {
    const { page, dom } = await pageOf({ run: pruneRecord('lcp', 0, 0.38), other: pruneRecord('l1', 0, 0.3) })
    expect(dom.documentElement.getAttribute('lang')).toBe('en')
    for (const svg of dom.querySelectorAll('figure > svg')) expect([svg.getAttribute('role'), svg.getAttribute('aria-label')!.length > 20]).toEqual(['img', true])
    for (const table of dom.querySelectorAll('table')) {
      expect(table.querySelector('caption')!.textContent).not.toBe('')
      for (const th of table.querySelectorAll('th')) expect([th.getAttribute('scope') !== null, th.textContent !== '']).toEqual([true, true])
    }
    const ids = [...page.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id)
    expect(new Set(ids).size).toBe(ids.length)
    const headings = [...dom.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))
    headings.forEach((level, i) => expect(level - (headings[i - 1] ?? 0), `heading ${i}`).toBeLessThanOrEqual(1))
    expect(page).toContain('@media (prefers-color-scheme: dark)')
    expect(page).toContain('@media print')
  })

  it('is small, and refuses to be large', async () => {
    const picture = (bytes: number) => ({ label: 'after', base64: 'A'.repeat(bytes), width: 4, height: 4, alt: '' })
    const set = (bytes: number) => ({ run: 'run', images: 1, split: 'test', threshold: 0.3, compared: true, samples: [{ name: 'a', pictures: [picture(bytes)] }] })
    const { page } = await pageOf({ run: pruneRecord('lcp', 0, 0.38) }, { samples: [set(1000)] })
    expect(page.length).toBeLessThan(100_000)
    await expect(pageOf({ run: pruneRecord('lcp', 0, 0.38) }, { samples: [set(pageLimit)] })).rejects.toThrow(/the report would have 5\.\d MB, more than 5; ask for fewer sample images \(--samples\)/)
    expect(() => reportOf([], { document })).toThrow(/at least one run/)
  })
})
