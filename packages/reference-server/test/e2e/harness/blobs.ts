/** Large reproducible content, made and checked as streams. */
import { createCipheriv, createHash } from 'node:crypto';
import { request } from 'undici';
import { parseDigest, type Digest } from '@kraken/core/content';
import { createHttpClient, HostList, OriginClusterClient } from '@kraken/registry-http';

const CHUNK_BYTES = 1 << 20;
const SAYS_MAX = 500;

export interface TestBlob {
  readonly digest: Digest;
  readonly length: number;
  open(): AsyncGenerator<Uint8Array>;
}

/** AES-CTR over zeros: as random as it need be, and fast. */
export function testBlob(seed: string, length: number): TestBlob {
  const content = function* (): Generator<Uint8Array> {
    const cipher = createCipheriv('aes-128-ctr', createHash('md5').update(seed).digest(), Buffer.alloc(16));
    const zeros = Buffer.alloc(CHUNK_BYTES);
    for (let left = length; left > 0; left -= CHUNK_BYTES)
      yield cipher.update(left < CHUNK_BYTES ? zeros.subarray(0, left) : zeros);
  };
  const hash = createHash('sha256');
  for (const chunk of content()) hash.update(chunk);
  return {
    digest: parseDigest(`sha256:${hash.digest('hex')}`),
    length,
    async *open() {
      for (const chunk of content()) yield await Promise.resolve(chunk);
    },
  };
}

/** Upload through the cluster client, as a proxy does. */
export async function uploadToOrigins(origins: readonly string[], namespace: string, blob: TestBlob): Promise<void> {
  const http = createHttpClient();
  const source = await HostList.open({ static: [...origins] });
  try {
    await new OriginClusterClient({ source, http }).upload(namespace, blob.digest, blob);
  } finally {
    source.close();
    await http.close();
  }
}

export interface Pulled {
  readonly status: number;
  readonly digest: string;
  readonly length: number;
  readonly firstByteMs: number;
  readonly totalMs: number;
  /** Of an answer that is not 200: how its body begins. */
  readonly says: string;
}

/** GET a URL, hash what comes. */
export async function pull(
  url: string,
  options: { headers?: Record<string, string>; limitMs?: number; onFirstByte?: () => void } = {},
): Promise<Pulled> {
  const startedAt = performance.now();
  const response = await request(url, {
    headersTimeout: options.limitMs ?? 300_000,
    bodyTimeout: options.limitMs ?? 300_000,
    headers: options.headers ?? {},
  });
  const hash = createHash('sha256');
  let length = 0;
  let firstByteMs = -1;
  let says = '';
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    if (firstByteMs < 0) {
      firstByteMs = performance.now() - startedAt;
      options.onFirstByte?.();
    }
    hash.update(chunk);
    length += chunk.length;
    if (response.statusCode !== 200 && says.length < SAYS_MAX) says = (says + chunk.toString()).slice(0, SAYS_MAX);
  }
  return {
    status: response.statusCode,
    digest: `sha256:${hash.digest('hex')}`,
    length,
    firstByteMs,
    totalMs: performance.now() - startedAt,
    says,
  };
}
