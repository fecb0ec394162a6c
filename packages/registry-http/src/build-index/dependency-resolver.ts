/**
 * What a tag needs, read from the origins, and whether it is there. Source: spec index-proxy-registry-config.md §1.2, §2.3.
 * The walk is core's; this fetches manifests and asks for blobs, in parallel but bounded.
 */
import { DependencyWalk, type ManifestLinks, type TagTypes } from '@kraken/core/build-index';
import type { Digest } from '@kraken/core/content';
import { isKrakenError, KrakenError } from '@kraken/core/errors';
import { MANIFEST_BYTES_MAX, parseManifest } from '@kraken/core/oci';
import type { CancelSignal, OriginCluster } from '@kraken/core/ports';

const PARALLEL_MAX = 16;

export class DependencyResolver {
  readonly #tagTypes: TagTypes;
  readonly #origins: OriginCluster;

  constructor(options: { tagTypes: TagTypes; origins: OriginCluster }) {
    this.#tagTypes = options.tagTypes;
    this.#origins = options.origins;
  }

  /** In the order of replication, the tag's digest last. @throws KrakenError with Go's words `resolve dependencies: …` in front */
  async resolve(tag: string, digest: Digest, signal?: CancelSignal): Promise<readonly Digest[]> {
    try {
      if (this.#tagTypes.typeOf(tag) === 'default') return [digest];
      const walk = new DependencyWalk(digest);
      while (walk.wanted.length > 0) {
        await inParallel(walk.wanted, async (manifest) => {
          walk.add(manifest, await this.#links(tag, manifest, signal));
        });
      }
      return walk.dependencies();
    } catch (error) {
      if (!isKrakenError(error)) throw error;
      throw new KrakenError(error.code, `resolve dependencies: ${error.message}`, {
        cause: error,
        detail: error.detail,
      });
    }
  }

  /** @throws KrakenError `manifest-blob-unknown` naming the first that is missing (detail: all), `origin-unavailable`, … */
  async check(tag: string, dependencies: readonly Digest[], signal?: CancelSignal): Promise<void> {
    const missing = new Set<Digest>();
    await inParallel(dependencies, async (digest) => {
      if ((await this.#origins.stat(tag, digest, signal)) === undefined) missing.add(digest);
    });
    const first = dependencies.find((digest) => missing.has(digest));
    if (first !== undefined) {
      throw new KrakenError('manifest-blob-unknown', `cannot upload tag, missing dependency ${first}`, {
        detail: { missing: [...missing] },
      });
    }
  }

  async #links(tag: string, digest: Digest, signal: CancelSignal | undefined): Promise<ManifestLinks> {
    let bytes: Buffer;
    try {
      const { length, stream } = await this.#origins.download(tag, digest, signal === undefined ? {} : { signal });
      if (length > MANIFEST_BYTES_MAX) throw new KrakenError('manifest-too-large');
      const chunks: Uint8Array[] = [];
      for await (const chunk of stream) chunks.push(Uint8Array.from(chunk));
      bytes = Buffer.concat(chunks);
    } catch (error) {
      if (isKrakenError(error, 'blob-unknown'))
        throw new KrakenError('manifest-blob-unknown', 'download manifest: blob not found', { cause: error });
      if (isKrakenError(error))
        throw new KrakenError(error.code, `download manifest: ${error.message}`, { cause: error });
      throw error;
    }
    const manifest = parseManifest(bytes);
    return manifest.kind === 'index'
      ? { manifests: manifest.references, blobs: [] }
      : { manifests: [], blobs: manifest.references };
  }
}

async function inParallel<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_MAX, items.length) }, worker));
}
