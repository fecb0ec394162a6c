/**
 * The error catalogue: every coded failure the system can report, who must act on it, and what an HTTP
 * server answers. Machines and clients branch on `retry`; nobody parses messages.
 *
 * Owns the list of codes. Never formats text for a particular protocol: handlers do that.
 */

/** Who must act. `bug`: us. `misuse`: the calling programmer. `peer-fault`: the remote peer (close, blame). `outcome`: the operator or a retry. `config`: whoever started the process (exit 2). */
export type ErrorKind = 'bug' | 'misuse' | 'peer-fault' | 'outcome' | 'config';

/** What a caller may do next: give up, ask the same party again, ask another party, or come back later. */
export type Retry = 'never' | 'same' | 'elsewhere' | 'later';

/** One row of the catalogue. `http` is the status a server answers; `oci` the code of the OCI error body, where one fits. */
export interface ErrorEntry {
  readonly kind: ErrorKind;
  readonly retry: Retry;
  readonly http: number;
  readonly oci?: OciErrorCode;
  /** What it means, for `docs/ERRORS.md` and for people who read logs. */
  readonly says: string;
}

/** Error codes of the OCI distribution spec 1.1 and of Docker Registry V2. */
export type OciErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'TAG_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'
  | 'UNAVAILABLE'
  | 'UNKNOWN';

const entry = (kind: ErrorKind, retry: Retry, http: number, oci: OciErrorCode | undefined, says: string): ErrorEntry =>
  oci === undefined ? { kind, retry, http, says } : { kind, retry, http, oci, says };

/** The catalogue. A new failure is one line here and one row in `docs/ERRORS.md` (a test compares them). */
export const ERRORS = {
  // Input that a caller got wrong.
  'digest-invalid': entry(
    'misuse',
    'never',
    400,
    'DIGEST_INVALID',
    'A digest is not `sha256:` followed by 64 hex characters.',
  ),
  'digest-mismatch': entry(
    'outcome',
    'never',
    400,
    'DIGEST_INVALID',
    'The content does not hash to the digest that was named.',
  ),
  'name-invalid': entry('misuse', 'never', 400, 'NAME_INVALID', 'A repository name breaks the reference grammar.'),
  'tag-invalid': entry(
    'misuse',
    'never',
    400,
    'TAG_INVALID',
    'A tag breaks the reference grammar, or would escape its directory.',
  ),
  'manifest-invalid': entry(
    'misuse',
    'never',
    400,
    'MANIFEST_INVALID',
    'A manifest cannot be parsed or has an unsupported type.',
  ),
  'manifest-blob-unknown': entry(
    'outcome',
    'never',
    400,
    'MANIFEST_BLOB_UNKNOWN',
    'A manifest refers to content that was never uploaded.',
  ),
  'manifest-too-large': entry('misuse', 'never', 413, 'SIZE_INVALID', 'A manifest is larger than 4 MiB.'),
  'body-too-large': entry('misuse', 'never', 413, 'SIZE_INVALID', 'A request body is larger than its route allows.'),
  'size-invalid': entry('misuse', 'never', 400, 'SIZE_INVALID', 'A length does not agree with the bytes that came.'),
  'range-invalid': entry(
    'misuse',
    'never',
    416,
    'BLOB_UPLOAD_INVALID',
    'A range lies outside the content, or an upload chunk does not start where the last one ended.',
  ),
  'request-invalid': entry(
    'misuse',
    'never',
    400,
    'UNSUPPORTED',
    'A request parameter, header or body cannot be understood.',
  ),
  'method-not-allowed': entry('misuse', 'never', 405, 'UNSUPPORTED', 'The route exists but not with this method.'),
  'route-unknown': entry('misuse', 'never', 404, 'UNSUPPORTED', 'No such route.'),
  unsupported: entry('misuse', 'never', 405, 'UNSUPPORTED', 'This node does not offer the operation.'),
  'metainfo-invalid': entry(
    'peer-fault',
    'elsewhere',
    502,
    'UNKNOWN',
    'Metainfo cannot be parsed, contradicts itself, or names another blob.',
  ),
  'config-invalid': entry('config', 'never', 500, undefined, 'The configuration has problems; all of them are listed.'),

  // Things that are not there.
  'blob-unknown': entry('outcome', 'never', 404, 'BLOB_UNKNOWN', 'Nobody in the cluster has this blob.'),
  'manifest-unknown': entry('outcome', 'never', 404, 'MANIFEST_UNKNOWN', 'No manifest with this tag or digest.'),
  'tag-unknown': entry('outcome', 'never', 404, 'MANIFEST_UNKNOWN', 'The tag does not exist.'),
  'repository-unknown': entry('outcome', 'never', 404, 'NAME_UNKNOWN', 'The repository does not exist.'),
  'upload-unknown': entry(
    'outcome',
    'never',
    404,
    'BLOB_UPLOAD_UNKNOWN',
    'The upload session does not exist or has ended.',
  ),
  'backend-no-match': entry('outcome', 'never', 500, 'UNKNOWN', 'No storage backend is configured for this namespace.'),

  // State that stands in the way.
  'blob-exists': entry('outcome', 'never', 409, undefined, 'The blob is already there.'),
  'blob-pinned': entry(
    'outcome',
    'later',
    409,
    'DENIED',
    'The blob must not be deleted before it has been written back.',
  ),
  'blob-pending': entry('outcome', 'later', 202, undefined, 'The blob is being fetched from storage; ask again.'),
  'tag-conflict': entry(
    'outcome',
    'never',
    409,
    'DENIED',
    'The tag already names another digest and tags are immutable here.',
  ),

  // Limits.
  'too-many-pulls': entry('outcome', 'later', 503, 'TOOMANYREQUESTS', 'The limit of waiting pulls is reached.'),
  'too-many-uploads': entry(
    'outcome',
    'later',
    503,
    'TOOMANYREQUESTS',
    'The limit of open upload sessions is reached.',
  ),
  'too-many-connections': entry('outcome', 'elsewhere', 503, 'TOOMANYREQUESTS', 'A connection limit is reached.'),
  'too-many-requests': entry('outcome', 'later', 429, 'TOOMANYREQUESTS', 'The rate limit of this client is reached.'),
  'queue-full': entry('outcome', 'later', 503, 'UNAVAILABLE', 'A bounded queue is full.'),

  // Time and availability.
  'pull-timeout': entry('outcome', 'later', 504, 'UNAVAILABLE', 'The pull did not finish before its deadline.'),
  'pull-stalled': entry('outcome', 'later', 504, 'UNAVAILABLE', 'No peer delivered anything for too long.'),
  cancelled: entry('outcome', 'same', 499, 'UNAVAILABLE', 'The caller gave up.'),
  removed: entry('outcome', 'never', 404, 'BLOB_UNKNOWN', 'The blob was removed while it was being pulled.'),
  'shutting-down': entry('outcome', 'elsewhere', 503, 'UNAVAILABLE', 'The node is stopping.'),
  'storage-unavailable': entry(
    'outcome',
    'later',
    503,
    'UNAVAILABLE',
    'The storage backend cannot be reached or failed.',
  ),
  'origin-unavailable': entry('outcome', 'elsewhere', 503, 'UNAVAILABLE', 'No origin could answer.'),
  'tracker-unavailable': entry('outcome', 'elsewhere', 503, 'UNAVAILABLE', 'No tracker could answer.'),
  'build-index-unavailable': entry('outcome', 'elsewhere', 503, 'UNAVAILABLE', 'No build-index could answer.'),
  'upstream-failed': entry(
    'outcome',
    'elsewhere',
    502,
    'UNAVAILABLE',
    'Another service answered with an unexpected status.',
  ),
  'network-error': entry('outcome', 'elsewhere', 503, 'UNAVAILABLE', 'A request got no response.'),
  'not-ready': entry('outcome', 'later', 503, 'UNAVAILABLE', 'The node or something it depends on is not ready.'),
  forbidden: entry('misuse', 'never', 403, 'DENIED', 'The access policy refuses this request.'),

  // The local disk.
  'disk-full': entry('outcome', 'later', 507, 'UNAVAILABLE', 'The disk is full.'),
  'io-error': entry('outcome', 'later', 500, 'UNKNOWN', 'The local disk failed.'),
  'content-truncated': entry('outcome', 'elsewhere', 502, 'UNKNOWN', 'A source ended before its announced length.'),

  // Peers that break the protocol.
  'frame-too-large': entry('peer-fault', 'elsewhere', 502, undefined, 'A frame is longer than 32 KiB.'),
  'frame-malformed': entry('peer-fault', 'elsewhere', 502, undefined, 'A frame is not a valid message.'),
  'handshake-invalid': entry(
    'peer-fault',
    'elsewhere',
    502,
    undefined,
    'A handshake is malformed or names another torrent, peer or piece count.',
  ),
  'handshake-timeout': entry(
    'peer-fault',
    'elsewhere',
    504,
    undefined,
    'The peer did not complete the handshake in time.',
  ),
  'peer-unreachable': entry('outcome', 'elsewhere', 502, undefined, 'The peer cannot be dialled.'),
  'peer-untrusted': entry(
    'outcome',
    'elsewhere',
    502,
    undefined,
    'A peer does not speak TLS where it must, or its certificate is not accepted.',
  ),
  'piece-bad-sum': entry('peer-fault', 'elsewhere', 502, undefined, 'A piece does not match its checksum.'),
  'piece-forged': entry(
    'peer-fault',
    'elsewhere',
    502,
    undefined,
    'A piece does not match its hash in the piece layer.',
  ),
  'layer-invalid': entry(
    'peer-fault',
    'elsewhere',
    502,
    'UNKNOWN',
    'A piece layer does not fit the root in the metainfo.',
  ),
  'root-mismatch': entry(
    'peer-fault',
    'elsewhere',
    502,
    'UNKNOWN',
    'All pieces fit the root in the metainfo, but the blob does not fit its digest: the source of the root is wrong.',
  ),

  'recording-invalid': entry(
    'misuse',
    'never',
    400,
    undefined,
    'A recording cannot be replayed: it is none, of another version, or damaged.',
  ),

  // Us.
  internal: entry('bug', 'never', 500, 'UNKNOWN', 'An invariant was broken; this is a defect.'),
} as const satisfies Record<string, ErrorEntry>;

/** A code of the catalogue. */
export type ErrorCode = keyof typeof ERRORS;
