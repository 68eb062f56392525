/** @file The whole library, one namespace a folder; each is also a subpath: espalier/tensor, espalier/storage, ... */
export * as storage from './storage/index.ts'
export * as tensor from './tensor/index.ts'
