/** Blocks that several components share. Defaults are Kraken's (spec index-proxy-registry-config.md §6.4). */
import {
  any,
  bool,
  byteSize,
  byteSizeMap,
  duration,
  float,
  ignored,
  int,
  key,
  list,
  map,
  string,
  struct,
  uint,
} from './schema.js';

const S = 1000;
const MIN = 60 * S;
const HOUR = 60 * MIN;

const path = (says: string) => key(struct({ path: key(string, says) }), says);

export const tls = key(
  struct({
    name: key(
      string,
      'Server name that certificates of all other components must carry; empty = the host that is called.',
    ),
    cas: key(
      list(struct({ path: key(string, 'PEM file.') })),
      'Certificate authorities, for servers (client certificates) and clients (in addition to the system ones).',
    ),
    server: key(
      struct({
        disabled: key(bool, 'Serve plain HTTP.'),
        cert: path('PEM certificate of this component.'),
        key: path('PEM key.'),
        passphrase: path('File with the passphrase of the key; white space around it is dropped. Optional.'),
      }),
      'TLS of the HTTP servers. On unless disabled.',
    ),
    client: key(
      struct({
        disabled: key(bool, 'Call other components over plain HTTP.'),
        cert: path('PEM client certificate. Optional.'),
        key: path('PEM key of the client certificate.'),
        passphrase: path('File with the passphrase of the key. Optional.'),
      }),
      'TLS of the HTTP clients. On unless disabled.',
    ),
    peer: key(
      struct({
        mode: key(
          string,
          '`required`: mutual TLS 1.3 and nothing else. `preferred`: TLS with peers that speak it, plain TCP with the others; no protection from an attacker on the path. `off`: plain TCP.',
          'off',
        ),
        cert: path('PEM certificate of this peer, good for servers and clients.'),
        key: path('PEM key.'),
        passphrase: path('File with the passphrase of the key. Optional.'),
        cas: key(
          list(struct({ path: key(string, 'PEM file.') })),
          'Authorities of peers; empty = `tls.cas`. The system’s authorities do not count.',
        ),
        name: key(string, 'Name that the certificate of every peer must carry; empty = any.'),
      }),
      'Ours: TLS between peers (agents and origins), on the port of plain peers.',
    ),
    reload_interval: key(
      duration,
      'Ours: time between looks at the certificate files; changed ones count for new connections. SIGHUP looks at once.',
      30 * S,
    ),
  }),
  'Transport security. For HTTP, a block without `disabled: true` means TLS, as in Kraken.',
);

/** Ours: how pieces are proved. */
export const integrity = key(
  struct({
    piece_layer: key(
      bool,
      'Origins: give metainfo the root of a tree of SHA-256 piece hashes and hand the hashes out (piece lengths that are a power of two from 16 KiB on). Agents: check each piece against them where the metainfo has a root; a piece without is checked by CRC-32, which stops no forger.',
      true,
    ),
  }),
  'Checks of pieces.',
);

/** Ours: who may reach this component. Absent in Go's files, where it means Go's policy. */
export const access = key(
  struct({
    listen: key(string, 'Address that the ports are bound to; empty = all interfaces.'),
    allowed_cidrs: key(
      list(string),
      'Addresses and subnets that may send requests; empty = everybody (on agents: `allowed_cidrs` at the top level).',
    ),
    remote_clusters: key(
      list(string),
      'Origins only: origin addresses (`host:port`) of other clusters that blobs may be copied to; empty = none.',
    ),
    loopback_needs_certificate: key(
      bool,
      'With TLS, requests that change something need a client certificate from loopback too (Kraken lets loopback pass).',
    ),
  }),
  'Access policy. A file without this block gets Kraken’s policy, and a warning at start.',
);

export const nginx = ignored(any, 'No nginx is started: the ports it would listen on are served by this process.');
export const zap = key(
  struct({
    level: key(string, 'debug, info, warn or error.', 'info'),
    development: ignored(bool, 'Zap only.'),
    disableCaller: ignored(bool, 'Zap only.'),
    disableStacktrace: ignored(bool, 'Zap only.'),
    sampling: ignored(any, 'Zap only.'),
    encoding: ignored(string, 'Logs are JSON lines.'),
    encoderConfig: ignored(any, 'Zap only.'),
    outputPaths: ignored(list(string), 'Logs go to standard error.'),
    errorOutputPaths: ignored(list(string), 'Logs go to standard error.'),
    initialFields: ignored(any, 'Zap only.'),
  }),
  'Logging.',
);
export const metrics = ignored(any, 'statsd and M3 are not offered yet.');
export const componentLog = ignored(any, 'Separate log files are not offered; everything goes to the one log.');

export const hosts = key(
  struct({
    dns: key(string, 'Name and port, `origin.example:80`; every address of the name is a host.'),
    static: key(list(string), 'Hosts as `host:port`.'),
    ttl: key(duration, 'How long a DNS answer is used.', 5 * S),
  }),
  'Either `dns` or `static`.',
);
const filter = {
  fails: key(int, 'Consecutive failed checks that make a host unhealthy.', 3),
  passes: key(int, 'Consecutive passed checks that make it healthy again.', 2),
  timeout: key(duration, 'Time for one round of checks.', 3 * S),
};
export const healthFilter = key(struct(filter), 'Active health checks: `GET /health`.');
export const activeUpstream = key(
  struct({
    hosts,
    healthcheck: key(
      struct({
        filter: healthFilter,
        monitor: key(struct({ interval: key(duration, 'Time between rounds.', 10 * S) }), 'Rhythm of the checks.'),
        disabled: key(bool, 'Use every host, unchecked.'),
      }),
      'Active health checks.',
    ),
  }),
  'A set of hosts with active health checks.',
);
const passiveHealth = key(
  struct({
    fails: key(int, 'Failures within `fail_timeout` that take a host out.', 3),
    fail_timeout: key(duration, 'How long it stays out.', 5 * MIN),
  }),
  'Passive health: failures of real requests.',
);
export const passiveUpstream = key(
  struct({ hosts, healthcheck: passiveHealth }),
  'A set of hosts with passive health.',
);
export const hashring = key(
  struct({
    max_replica: key(int, 'Owners of a digest.', 3),
    refresh_interval: key(duration, 'Time between membership and health refreshes.', 10 * S),
    membership_wait_timeout: key(duration, 'How long a starting origin waits to find itself in the ring.', MIN),
    membership_wait_interval: key(duration, 'How often it looks.', 500),
  }),
  'Rendezvous ring.',
);
export const passiveRingUpstream = key(
  struct({ hosts, healthcheck: passiveHealth, hashring }),
  'Hosts on a ring, with passive health.',
);

export const listener = ignored(
  struct({ net: key(string, ''), addr: key(string, '') }),
  'The socket behind nginx; the public port comes from the command line.',
);

const cleanup = key(
  struct({
    disabled: key(bool, 'No clean-up.'),
    interval: key(duration, 'Time between sweeps.', 30 * MIN),
    tti: key(duration, 'Idle time after which a file goes.', 6 * HOUR),
    ttl: key(duration, 'Age after which a file goes; 0 = never.'),
    aggressive_threshold: key(
      int,
      'Disk use in percent of the file system of the store from which `aggressive_ttL` counts; 0 = off.',
    ),
    aggressive_ttL: key(duration, 'Age limit while the disk is that full (the capital L is Kraken’s).', HOUR),
    aggressive_lower_threshold: key(
      int,
      'Disk use in percent down to which the oldest files go when the threshold is passed; 0 = off.',
    ),
  }),
  'Clean-up of one directory.',
);
const partSizes = {
  read_part_size: ignored(byteSize, 'Reads are sized by measurement.'),
  write_part_size: ignored(byteSize, 'Writes are sized by measurement.'),
};
export const downloadStore = key(
  struct({
    download_dir: key(string, 'Partial blobs. Required.'),
    cache_dir: key(string, 'Whole blobs. Required; same file system.'),
    download_cleanup: ignored(any, '`cache_cleanup` holds for partial blobs too.'),
    cache_cleanup: cleanup,
    ...partSizes,
  }),
  'Disk of an agent.',
);
export const simpleStore = key(
  struct({
    upload_dir: key(string, 'Scratch; emptied at start.'),
    cache_dir: key(string, 'Tags.'),
    upload_cleanup: ignored(any, 'Idle upload sessions end after 6 h.'),
    cache_cleanup: cleanup,
    ...partSizes,
  }),
  'Disk of a build-index.',
);
export const caStore = key(
  struct({
    upload_dir: key(string, 'Upload sessions; emptied at start. Required.'),
    cache_dir: key(string, 'Whole blobs. Required; same file system.'),
    volumes: ignored(
      list(struct({ location: key(string, ''), weight: key(int, '') })),
      'Volumes are not offered yet; one file system per store.',
    ),
    capacity: ignored(int, 'Limits are in bytes and disk use here, not in entries.'),
    upload_cleanup: ignored(any, 'Idle upload sessions end after 6 h.'),
    cache_cleanup: cleanup,
    ...partSizes,
    skip_hash_verification: ignored(bool, 'Content is always verified.'),
    memory_cache: ignored(any, 'Downloads go to disk at once.'),
  }),
  'Disk of an origin or proxy.',
);

const bandwidth = key(
  struct({
    enable: key(bool, 'Limit the rates.'),
    egress_bits_per_sec: key(uint, 'Sending rate.', 200 * 8 * 2 ** 20),
    ingress_bits_per_sec: key(uint, 'Receiving rate.', 300 * 8 * 2 ** 20),
    namespace_weights: key(
      list(
        struct({
          namespace: key(string, 'Regular expression over namespaces; the first match wins; not anchored.'),
          weight: key(float, 'Share of the rates while these are short; > 0. What no entry names has 1 in all.'),
        }),
      ),
      'How namespaces share the rates. Inside an entry, payloads that have started are finished first.',
    ),
    token_size: ignored(uint, 'Rates are kept per byte.'),
  }),
  'Payload rates of the whole node.',
);
export const scheduler = key(
  struct({
    seeder_tti: key(duration, 'A complete torrent without reads for so long leaves memory.', 5 * MIN),
    leecher_tti: key(duration, 'A pull without progress for so long fails.', 5 * MIN),
    conn_tti: key(duration, 'Idle limit of a connection.', 30 * S),
    conn_ttl: key(duration, 'Age limit of a connection.', HOUR),
    preemption_interval: key(duration, 'Time between checks of these limits.', 30 * S),
    emit_stats_interval: ignored(duration, 'There are no gauges yet.'),
    disable_preemption: key(bool, 'No such checks.'),
    probe_timeout: ignored(duration, 'The probe answers at once or not at all.'),
    swarm_policy: key(
      string,
      'What shapes the connections and the order of requests: `default`, or `kraken` for the behaviour of the Go agent; empty = `default`. Ours.',
    ),
    connstate: key(
      struct({
        max_open_conn: key(int, 'Connections of one torrent, both directions.', 10),
        max_mutual_conn: key(int, 'Shared neighbours above which an incoming peer is refused; 0 = max_open_conn.'),
        disable_blacklist: key(bool, 'Never avoid a peer.'),
        blacklist_duration: key(duration, 'How long a peer is avoided after a failure.', 30 * S),
      }),
      'Connections.',
    ),
    conn: key(
      struct({
        handshake_timeout: key(duration, 'Dial, each handshake write and read.', 5 * S),
        sender_buffer_size: ignored(int, 'Queues are bounded by bytes and requests.'),
        receiver_buffer_size: ignored(int, 'Queues are bounded by bytes and requests.'),
        bandwidth,
      }),
      'One connection.',
    ),
    dispatch: key(
      struct({
        piece_request_min_timeout: key(duration, 'Shortest request time-out.', 4 * S),
        piece_request_timeout_per_mb: key(duration, 'Request time-out per MiB of piece length.', 4 * S),
        piece_request_policy: key(string, '`default` (random) or `rarest_first`; empty = `rarest_first`.'),
        pipeline_limit: key(int, 'Pieces asked ahead of one agent; 0 = as many as its round trip needs (Kraken: 3).'),
        origin_pipeline_limit: key(
          int,
          'Pieces asked ahead of one origin; 0 = as many as its round trip needs (Kraken: 5).',
        ),
        endgame_threshold: key(
          int,
          'Missing pieces from which one piece may be asked of two peers; 0 = pipeline_limit, or 3.',
        ),
        disable_endgame: key(bool, 'Never ask two peers.'),
      }),
      'Piece requests.',
    ),
    torrentlog: componentLog,
    log: componentLog,
  }),
  'The swarm engine.',
);
export const networkEvent = key(
  struct({
    enabled: key(bool, 'Write network events.'),
    log_path: key(string, 'File for them, as JSON lines; beyond 256 MiB it is kept as `<log_path>.previous`.'),
  }),
  'Network events: torrents, connections, requests, pieces, with Kraken’s names and fields.',
);
/** Ours. */
export const record = key(
  struct({
    path: key(
      string,
      'File for what the swarm engine sees and does, as JSON lines without content of blobs, for `npm run replay`; empty = none. An older file is kept as `<path>.previous`.',
    ),
    size_limit: key(byteSize, 'Recording ends when the file is so long.', 256 * 2 ** 20),
  }),
  'Ours: recording. `--record FILE` does the same.',
);
export const peerIdFactory = key(string, '`addr_hash` (stable) or `random`.', 'addr_hash');

export const backends = key(
  list(
    struct({
      namespace: key(string, 'Regular expression over namespaces; the first match wins; not anchored.'),
      backend: key(
        map(any),
        'Exactly one key, the kind: `file`, `memory`, `s3`, `testfs`; its value holds the settings of the kind.',
      ),
      must_ready: key(bool, 'Readiness fails while this backend does not answer.'),
      bandwidth: ignored(any, 'Backend rate limits are not offered yet.'),
    }),
  ),
  'Storage, in order.',
);
export const auth = key(map(any), 'Credentials per kind and user, usually in the `--secrets` file.');
export const backendManager = ignored(any, 'Its log goes to the one log.');
export const localdb = key(
  struct({
    source: key(
      string,
      'File name; the retry journal lies beside it as `<source>.journal`. A Go database with pending tasks stops the start.',
    ),
  }),
  'Where tasks survive restarts. Required.',
);
export const retryQueue = key(
  struct({
    incoming_buffer: ignored(int, 'The queue is on disk; see `tasks_max`.'),
    retry_buffer: ignored(int, 'The queue is on disk; see `tasks_max`.'),
    num_incoming_workers: ignored(int, 'Six tasks run at a time.'),
    num_retry_workers: ignored(int, 'Six tasks run at a time.'),
    max_task_throughput: ignored(duration, 'No pause between tasks.'),
    retry_interval: key(duration, 'First wait after a failure; it doubles up to 32 times this.', 30 * S),
    poll_retries_interval: ignored(duration, 'Tasks run when they are due.'),
    sync_retry_backoff: ignored(any, 'One schedule for all.'),
    workqueue_metrics_emit_interval: ignored(duration, 'Queue lengths are not sampled.'),
    testing: ignored(bool, 'For Kraken’s own tests.'),
  }),
  'Retried tasks.',
);
export const dockerRegistry = ignored(any, 'The registry is built in.');
export const pieceLengths = key(byteSizeMap(byteSize), 'Minimum blob size → piece length. Required on origins.');
