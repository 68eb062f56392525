/** @file ONNX Runtime's execution providers: where each is to be had, what it needs there, and what to do where it does not start. */

interface ProviderFacts {
  /** Where the package has it, as Node says platforms; undefined: everywhere, and it needs nothing else. */
  readonly platforms?: readonly string[]
  readonly package: string
  /** What it needs on such a platform, and how to come by it. */
  readonly needs: string
}

const facts = {
  cpu: { package: 'onnxruntime-node', needs: 'onnxruntime-node whole: install it anew' },
  wasm: { package: 'onnxruntime-web', needs: 'onnxruntime-web whole: install it anew' },
  webgpu: {
    platforms: ['linux x64', 'darwin arm64', 'win32 x64', 'win32 arm64'],
    package: 'onnxruntime-node',
    needs: 'a graphics driver that it can use: on Linux libvulkan.so.1 and a Vulkan driver (one in software will do: lavapipe of Mesa 25 or newer, or SwiftShader), on Windows Direct3D 12, on macOS Metal',
  },
  cuda: {
    platforms: ['linux x64'],
    package: 'onnxruntime-node',
    needs: 'an NVIDIA card with its driver, CUDA 12, cuDNN 9, and the CUDA libraries of ONNX Runtime, which "node node_modules/onnxruntime-node/script/install --onnxruntime-node-install=cuda12" fetches',
  },
  coreml: { platforms: ['darwin arm64'], package: 'onnxruntime-node', needs: 'macOS 10.15 or newer' },
  dml: { platforms: ['win32 x64', 'win32 arm64'], package: 'onnxruntime-node', needs: 'a graphics card with a driver for DirectX 12' },
} as const satisfies Readonly<Record<string, ProviderFacts>>

export type ProviderName = keyof typeof facts

/** The providers that are known here, by ONNX Runtime's names. */
export const providerNames = Object.keys(facts) as ProviderName[]

const systems: Readonly<Record<string, string>> = { linux: 'Linux', darwin: 'macOS', win32: 'Windows' }

export interface Absence {
  readonly provider: string
  /** As Node says it: "linux x64"; undefined in browsers. */
  readonly platform: string | undefined
  /** The package that was asked, with its version. */
  readonly runtime: string
  /** What it said. */
  readonly message: string
}

/** Why a provider does not start, and the remedy. */
export function providerAbsence({ provider, platform, runtime, message }: Absence): string {
  const known = (facts as Readonly<Record<string, ProviderFacts>>)[provider]
  const everywhere = providerNames.filter((name) => name !== provider && !('platforms' in facts[name]))
  const rest = `choose another with --ep (${everywhere.join(' and ')} ${everywhere.length > 1 ? 'run' : 'runs'} everywhere). ${runtime} says: ${message}`
  if (!known) return `execution provider "${provider}" is not known; known are ${providerNames.join(', ')}: ${rest}`
  if (known.platforms && platform !== undefined && !known.platforms.includes(platform)) {
    return `execution provider "${provider}" does not run on ${worded(platform)}: ${known.package} has it for ${known.platforms.map(worded).join(', ')} alone; ${rest}`
  }
  return `execution provider "${provider}" does not start here. It needs ${known.needs}; or ${rest}`
}

function worded(platform: string): string {
  const [system = '', ...processor] = platform.split(' ')
  return [systems[system] ?? system, ...processor].join(' ')
}
