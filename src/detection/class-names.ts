/** @file Names of classes: COCO's eighty in their order, and the names that data sets give to the same thing. */

/** The classes of COCO 2014 and 2017, in the order of every model trained on them. */
export const cocoClasses: readonly string[] = [
  'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light',
  'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow',
  'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee',
  'skis', 'snowboard', 'sports ball', 'kite', 'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
  'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange',
  'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant', 'bed',
  'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone', 'microwave', 'oven',
  'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush',
]

/** Other names of COCO's classes, VOC's among them; lower case, words apart. */
const aliases: ReadonlyMap<string, string> = new Map([
  ['aeroplane', 'airplane'],
  ['motorbike', 'motorcycle'],
  ['sofa', 'couch'],
  ['tvmonitor', 'tv'],
  ['tv monitor', 'tv'],
  ['television', 'tv'],
  ['diningtable', 'dining table'],
  ['pottedplant', 'potted plant'],
  ['trafficlight', 'traffic light'],
  ['hair dryer', 'hair drier'],
  ['doughnut', 'donut'],
  ['mobile phone', 'cell phone'],
])

/** What a class is called wherever it comes from: lower case, words with one space between, VOC's names as COCO's. */
export function canonicalClass(name: string): string {
  const plain = name.trim().toLowerCase().replace(/[\s_-]+/g, ' ')
  return aliases.get(plain) ?? plain
}
