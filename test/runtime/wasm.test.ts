/** @file WebAssembly computes what the CPU library computes. */
import { describeEngine } from '../support/engine.ts'

describeEngine('wasm', true, { tolerance: 1e-5 })
