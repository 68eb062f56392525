/** @file Public API of espalier/data/node. */
export { cropResize, decodeImage, drawDetections, encodeImage, imageSize, nodeCodec, resizeImage } from './image-node.ts'
export { pixelsApart } from './pixels-node.ts'
