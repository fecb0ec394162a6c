/**
 * Origins of the same process as a tracker asks for them: no HTTP between. Owns nothing. A cluster asks its origins over
 * HTTP instead; that client is in `@kraken/registry-http`.
 */
import { serializeMetaInfo, type Digest, type MetaInfo, type PeerContext, type PeerInfo } from '@kraken/core/content';
import type { OriginDirectory } from '@kraken/core/ports';

/** One origin: who it is, and what it has. */
export interface LocalOrigin {
  /** The node that seeds; `PeerNode` fits. */
  readonly node: { readonly context: PeerContext };
  /** Its store; `DiskStore` fits. */
  readonly store: {
    metaInfo(digest: Digest): Promise<MetaInfo | undefined>;
    pieceLayer?(digest: Digest): Promise<Uint8Array | undefined>;
  };
}

/**
 * What {@link createTrackerHandler} asks of origins, answered by nodes of this process. An origin counts for a blob when
 * its store has it with metainfo.
 *
 * @example
 * const origin = await createPeerNode({ store, peer: { ip, origin: true } });
 * const tracker = await serveTracker({ origins: createLocalOrigins([{ node: origin, store }]), port: 15003 });
 */
export function createLocalOrigins(origins: readonly LocalOrigin[]): OriginDirectory {
  const having = async (digest: Digest): Promise<{ peer: PeerInfo; metainfo: MetaInfo }[]> => {
    const found = await Promise.all(
      origins.map(async ({ node, store }) => {
        const metainfo = await store.metaInfo(digest);
        const { peerId, ip, port } = node.context;
        return metainfo === undefined ? [] : [{ peer: { peerId, ip, port, origin: true, complete: true }, metainfo }];
      }),
    );
    return found.flat();
  };
  return {
    originPeers: async (digest) => (await having(digest)).map(({ peer }) => peer),
    metaInfoResponse: async (_namespace, digest) => {
      const [first] = await having(digest);
      return first === undefined ? { status: 404, body: '' } : { status: 200, body: serializeMetaInfo(first.metainfo) };
    },
    pieceLayer: async (_namespace, digest, root) => {
      for (const { store } of origins) {
        if ((await store.metaInfo(digest))?.piecesRoot === root) return store.pieceLayer?.(digest);
      }
      return undefined;
    },
    checkReady: () => Promise.resolve(),
  };
}
