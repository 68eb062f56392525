/** @file Public data sets of the recipes: where they are to be had, how they are to lie, what must be there. */

export interface Archive {
  readonly file: string
  readonly url: string
  /** As tools that fetch these files check it (torchvision for VOC; many for COCO). */
  readonly md5: string
}

export interface SplitFacts {
  /** Below the folder of the data set; '' for itself. */
  readonly folder: string
  readonly split: string
  readonly images: number
}

export interface PublicData {
  readonly title: string
  readonly archives: readonly Archive[]
  /** How to unpack them, and what lies where then; DIR stands for the folder. */
  readonly unpack: readonly string[]
  readonly layout: readonly string[]
  readonly splits: readonly SplitFacts[]
  /** What to do with it. */
  readonly next: string
}

const voc = 'http://host.robots.ox.ac.uk/pascal/VOC'
const coco = 'http://images.cocodataset.org'

export const publicData = {
  voc: {
    title: 'PASCAL VOC 2007 and 2012',
    archives: [
      { file: 'VOCtrainval_06-Nov-2007.tar', url: `${voc}/voc2007/VOCtrainval_06-Nov-2007.tar`, md5: 'c52e279531787c972589f7e41ab4ae64' },
      { file: 'VOCtest_06-Nov-2007.tar', url: `${voc}/voc2007/VOCtest_06-Nov-2007.tar`, md5: 'b6e924de25625d8de591ea690078ad9f' },
      { file: 'VOCtrainval_11-May-2012.tar', url: `${voc}/voc2012/VOCtrainval_11-May-2012.tar`, md5: '6cd6e144f989b92b3379bac3b3de84fd' },
    ],
    unpack: ['for f in DIR/VOC*.tar; do tar -xf "$f" -C DIR; done'],
    layout: ['DIR/VOCdevkit/VOC2007/{Annotations,ImageSets/Main,JPEGImages}', 'DIR/VOCdevkit/VOC2012/{Annotations,ImageSets/Main,JPEGImages}'],
    splits: [
      { folder: 'VOCdevkit/VOC2007', split: 'trainval', images: 5011 },
      { folder: 'VOCdevkit/VOC2007', split: 'test', images: 4952 },
      { folder: 'VOCdevkit/VOC2012', split: 'trainval', images: 11_540 },
    ],
    next: '--data DIR --train-split trainval trains on both years (16,551 images); split "test" is that of 2007',
  },
  coco: {
    title: 'COCO train2017 and val2017',
    archives: [
      { file: 'train2017.zip', url: `${coco}/zips/train2017.zip`, md5: 'cced6f7f71b7629ddf16f17bbcfab6b2' },
      { file: 'val2017.zip', url: `${coco}/zips/val2017.zip`, md5: '442b8da7639aecaf257c1dceb8ba8c80' },
      { file: 'annotations_trainval2017.zip', url: `${coco}/annotations/annotations_trainval2017.zip`, md5: 'f4bbac642086de4f52a3fdda2de5fa2c' },
    ],
    unpack: ['for f in DIR/*2017.zip; do unzip -q "$f" -d DIR; done'],
    layout: ['DIR/annotations/instances_train2017.json', 'DIR/annotations/instances_val2017.json', 'DIR/train2017/*.jpg', 'DIR/val2017/*.jpg'],
    splits: [
      { folder: '', split: 'train2017', images: 118_287 },
      { folder: '', split: 'val2017', images: 5000 },
    ],
    next: '--data DIR trains on train2017 and measures on val2017',
  },
} as const satisfies Readonly<Record<string, PublicData>>

export const publicNames = Object.keys(publicData) as (keyof typeof publicData)[]
