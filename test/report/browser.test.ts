/** @file The page in a browser: nothing is asked of the network, nothing goes wrong, nothing is cut off. Needs Debian's chromium. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseHTML } from 'linkedom'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readRuns } from '../../src/report/record.ts'
import { reportOf } from '../../src/report/report.ts'
import { pruneRecord, storeOf } from './runs.ts'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => existsSync(path))
const name = executablePath === undefined ? 'in a browser (needs /usr/bin/chromium)' : 'in a browser'

describe.skipIf(executablePath === undefined)(name, () => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-report-'))
  let browser: Browser | undefined
  const heard: string[] = []

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  })
  afterAll(async () => {
    await browser?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  async function open(scheme: 'light' | 'dark'): Promise<Page> {
    const runs = Object.fromEntries(['lcp', 'l1'].flatMap((method) => [0, 1].map((seed) => [`runs/${method}-s${seed}`, pruneRecord(method, seed, 0.3 + 0.02 * seed)])))
    const { document } = parseHTML('<!DOCTYPE html><html><body></body></html>')
    const picture = { label: 'after', base64: 'UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==', width: 1, height: 1, alt: '1 cat' }
    const samples = [{ run: 'lcp-s0', images: 1, split: 'test', threshold: 0.3, compared: false, samples: [{ name: 'a', pictures: [picture] }] }]
    const file = join(folder, 'report.html')
    writeFileSync(file, reportOf(await readRuns(storeOf(runs), Object.keys(runs)), { document, samples }))
    const page = await browser!.newPage({ colorScheme: scheme, viewport: { width: 1100, height: 800 } })
    page.on('console', (message) => heard.push(message.text()))
    page.on('pageerror', (error) => heard.push(error.message))
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) heard.push(request.url())
    })
    await page.goto(pathToFileURL(file).href, { waitUntil: 'networkidle' })
    return page
  }

  it('asks nothing of the network and reports no error', async () => {
    const page = await open('light')
    expect(heard).toEqual([])
    expect(await page.evaluate('[...document.images].every((image) => image.complete && image.naturalWidth === 1)')).toBe(true)
    expect(await page.evaluate('document.compatMode')).toBe('CSS1Compat')
  })

  it('no text of a plot leaves its plot, and the page is no wider than the window', async () => {
    const page = await open('light')
    expect(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')).toBe(true)
    const cut = await page.evaluate(`[...document.querySelectorAll('figure > svg')].flatMap((svg) => {
      const frame = svg.getBoundingClientRect()
      return [...svg.querySelectorAll('text')].filter((text) => {
        const box = text.getBoundingClientRect()
        return box.width > 0 && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
      }).map((text) => text.textContent)
    })`)
    expect(cut).toEqual([])
  })

  it('is dark in a dark room, and black on white on paper all the same', async () => {
    const page = await open('dark')
    const colours = (): Promise<unknown> => page.evaluate('[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]')
    expect(await colours()).toEqual(['rgb(21, 24, 28)', 'rgb(228, 231, 235)'])
    await page.emulateMedia({ media: 'print' })
    expect(await colours()).toEqual(['rgb(255, 255, 255)', 'rgb(0, 0, 0)'])
  })
})
