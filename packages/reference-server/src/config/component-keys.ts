/** Top-level keys of each component (spec index-proxy-registry-config.md §6.3). */
import { any, bool, byteSize, duration, ignored, int, key, list, map, string, struct, type Value } from './schema.js';
import * as shared from './shared-keys.js';

const common = {
  zap: shared.zap,
  metrics: shared.metrics,
  nginx: shared.nginx,
  tls: shared.tls,
  access: shared.access,
} as const;

export const agentKeys = struct({
  ...common,
  store: shared.downloadStore,
  registry: shared.dockerRegistry,
  scheduler: shared.scheduler,
  integrity: shared.integrity,
  peer_id_factory: shared.peerIdFactory,
  record: shared.record,
  network_event: shared.networkEvent,
  tracker: shared.passiveRingUpstream,
  build_index: shared.passiveUpstream,
  agentserver: ignored(any, 'Readiness is not cached.'),
  registry_backup: ignored(string, 'A backup registry is not offered yet.'),
  allowed_cidrs: key(
    list(string),
    'Addresses that may use the registry port, the agent port and /health; empty = nobody, as in Kraken.',
  ),
  container_runtime: ignored(any, 'Preloading into a container runtime is not offered yet.'),
  docker_daemon: ignored(any, 'Deprecated in Kraken.'),
});

export const originKeys = struct({
  ...common,
  verbose: ignored(bool, 'Unused in Kraken too.'),
  cluster: shared.hosts,
  hashring: shared.hashring,
  healthcheck: shared.healthFilter,
  blobserver: key(
    struct({
      listener: shared.listener,
      duplicate_write_back_stagger: key(duration, 'Extra write-back delay of each further replica.', 1_800_000),
    }),
    'Blob server.',
  ),
  castore: shared.caStore,
  scheduler: shared.scheduler,
  integrity: shared.integrity,
  network_event: shared.networkEvent,
  peer_id_factory: shared.peerIdFactory,
  record: shared.record,
  metainfogen: key(struct({ piece_lengths: shared.pieceLengths }), 'Metainfo.'),
  backend_manager: shared.backendManager,
  backends: shared.backends,
  auth: shared.auth,
  blobrefresh: key(
    struct({ size_limit: key(byteSize, 'Largest blob that is fetched from storage; 0 = any.') }),
    'Fetching from storage.',
  ),
  localdb: shared.localdb,
  writeback: shared.retryQueue,
});

export const trackerKeys = struct({
  ...common,
  logging: ignored(any, 'Dead key in Kraken’s samples.'),
  peerstore: key(
    struct({
      local: key(struct({ ttl: key(duration, 'How long an announced peer is handed out.', 18_000_000) }), 'In memory.'),
      redis: ignored(any, 'The Redis store is not offered yet; peers are kept in memory.'),
    }),
    'Who has what.',
  ),
  originstore: ignored(any, 'What origins say is cached for fixed times: 10 s, failures 1 s.'),
  trackerserver: key(
    struct({
      get_metainfo_limit: ignored(duration, 'Unused in Kraken too.'),
      announce_limit: key(int, 'Peers handed out, origins not counted.', 50),
      announce_interval: key(duration, 'Announce interval told to agents.', 3000),
      listener: shared.listener,
    }),
    'Tracker server.',
  ),
  peerhandoutpolicy: key(
    struct({ priority: key(string, '`default` or `completeness`.', 'completeness') }),
    'Order of peers.',
  ),
  origin: shared.activeUpstream,
});

export const buildIndexKeys = struct({
  ...common,
  backend_manager: shared.backendManager,
  backends: shared.backends,
  auth: shared.auth,
  tagserver: key(
    struct({
      listener: shared.listener,
      cache: ignored(any, 'Dead key in Kraken’s samples.'),
      duplicate_replicate_stagger: key(duration, 'Delay per neighbour of duplicated replication.', 1_200_000),
      duplicate_put_stagger: key(duration, 'Delay per neighbour of duplicated write-back.', 1_200_000),
    }),
    'Tag server.',
  ),
  remotes: key(map(list(string)), 'Remote build-index → regular expressions over tags.'),
  tag_replication: ignored(any, 'Replication tasks follow `writeback`.'),
  tag_types: key(
    list(
      struct({
        namespace: key(string, 'Regular expression over tags.'),
        type: key(string, '`docker` or `default`.'),
        root: ignored(string, 'Dead key in Kraken’s samples.'),
      }),
    ),
    'How dependencies of a tag are found. Required.',
  ),
  origin: shared.activeUpstream,
  localdb: shared.localdb,
  cluster: shared.activeUpstream,
  tag_store: key(struct({ write_through: key(bool, 'Write to storage before acknowledging a tag.') }), 'Tags.'),
  tag_policy: key(
    string,
    'What a put of an existing tag with another digest does: `mutable` (last write wins), `immutable` (409) or `first-write-wins` (200 and unchanged, as Kraken).',
    'mutable',
  ),
  store: shared.simpleStore,
  writeback: shared.retryQueue,
});

export const proxyKeys = struct({
  ...common,
  castore: shared.caStore,
  registry: shared.dockerRegistry,
  build_index: shared.activeUpstream,
  origin: shared.activeUpstream,
  registryoverride: ignored(any, 'The catalog is built in.'),
  server: key(
    struct({
      listener: shared.listener,
      prefetch_min_blob_size: key(byteSize, 'Smaller blobs are not prefetched.'),
      prefetch_max_blob_size: key(byteSize, 'Larger blobs are not prefetched.', 50 * 2 ** 30),
    }),
    'Proxy server.',
  ),
});

export type AgentConfig = Value<typeof agentKeys>;
export type OriginConfig = Value<typeof originKeys>;
export type TrackerConfig = Value<typeof trackerKeys>;
export type BuildIndexConfig = Value<typeof buildIndexKeys>;
export type ProxyConfig = Value<typeof proxyKeys>;
