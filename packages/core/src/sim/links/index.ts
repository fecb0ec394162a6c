/** The link models by name. */
import type { LinkModel, LinkModelContext } from './link-model.js';
import { MaxMinLinks } from './max-min.js';
import { TokenBucketLinks } from './token-bucket.js';

export type { FarArrivals, FarReceiver, Flow, LinkModel, LinkModelContext, Nic } from './link-model.js';
export { Transfer, TransferQueue } from './transfer.js';

/** The models of the network, by name. */
export const LINK_MODELS: Readonly<Record<string, (context: LinkModelContext) => LinkModel>> = {
  'max-min': (context) => new MaxMinLinks(context),
  'token-bucket': (context) => new TokenBucketLinks(context),
};
