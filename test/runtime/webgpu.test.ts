/** @file WebGPU computes what the CPU library computes. Needs a Vulkan driver; one in software will do (.ci/run installs Mesa's). */
import { describeEngine, starts } from '../support/engine.ts'

const rough = 1e-3

describeEngine('webgpu', await starts('webgpu'), {
  tolerance: 1e-5,
  loose: { Sin: rough, Cos: rough, Tan: rough, Asin: rough, Acos: rough, Atan: rough },
  open: ['Asin', 'Acos', 'Acosh', 'Atanh', 'Log', 'Sqrt'],
})
