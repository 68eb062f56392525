/** @file Public API of espalier/runtime. The native runtime: espalier/runtime/node; WebAssembly: espalier/runtime/web. */
export { type Latency, type LatencyOptions, type LatencySubject, measureLatency, randomFeeds } from './latency.ts'
export { type Runtime, runOnce, type Session, type SessionOptions, type Tensors } from './session.ts'
