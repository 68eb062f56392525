#!/usr/bin/env node
/** @file Launcher. In a checkout it runs src/ itself, so that a stale build is never used; in an installed package, dist/. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const source = new URL('../src/cli/main.ts', import.meta.url)

if (existsSync(source)) {
  // Node 22.18 and newer read TypeScript themselves, and start at once; to load tsx takes older ones longer than all of `espalier --help`.
  if (!process.features.typescript) {
    const { register } = await import('tsx/esm/api')
    // Without the path tsx would read the tsconfig.json of the directory that the user stands in.
    register({ tsconfig: fileURLToPath(new URL('../tsconfig.json', import.meta.url)) })
  }
  await import(source.href)
} else {
  await import(new URL('../dist/cli/main.js', import.meta.url).href)
}
