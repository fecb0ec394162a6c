/**
 * Everything that must exist before a tag may be put, in the order in which it must be copied: contents before the
 * manifest that names them, the tag's own digest last. Source: spec index-proxy-registry-config.md §2.3.
 *
 * Differs from Go: the manifests inside a list or index are walked too, so their configs and layers are checked and
 * replicated. The caller fetches manifests and hands in what they reference; nothing here reads bytes.
 */
import type { Digest } from '../content/index.js';
import { KrakenError } from '../errors/index.js';

/** What a manifest names. */
export interface ManifestLinks {
  /** Manifests inside a list or index, in order. */
  readonly manifests: readonly Digest[];
  /** Config and layers, in order. */
  readonly blobs: readonly Digest[];
}

/** Manifests that one tag may pull in. A guess: the largest public images have some 40. */
const MANIFESTS_MAX = 1000;
/** Digests in all; a replication task lists them in one journal record. */
const DEPENDENCIES_MAX = 10_000;
/** An index of indexes of manifests is legal; deeper than this is an attack. */
const DEPTH_MAX = 8;

/** The walk over one tag: what is still to be fetched, and in the end the order of replication. */
export class DependencyWalk {
  readonly #root: Digest;
  readonly #links = new Map<Digest, ManifestLinks>();
  readonly #wanted = new Map<Digest, number>();
  #dependencies = 0;

  constructor(root: Digest) {
    this.#root = root;
    this.#wanted.set(root, 0);
  }

  /** Manifests whose links are still unknown; empty when the walk is done. They may be fetched in parallel. */
  get wanted(): readonly Digest[] {
    return [...this.#wanted.keys()];
  }

  /** The links of a manifest that was wanted. @throws KrakenError `manifest-invalid` beyond the limits */
  add(digest: Digest, links: ManifestLinks): void {
    const depth = this.#wanted.get(digest);
    if (depth === undefined) return;
    this.#wanted.delete(digest);
    this.#links.set(digest, links);
    this.#dependencies += links.manifests.length + links.blobs.length;
    for (const child of links.manifests) {
      if (this.#links.has(child) || this.#wanted.has(child)) continue;
      if (depth + 1 > DEPTH_MAX) throw new KrakenError('manifest-invalid', `indexes nest deeper than ${DEPTH_MAX}`);
      this.#wanted.set(child, depth + 1);
    }
    if (this.#links.size + this.#wanted.size > MANIFESTS_MAX || this.#dependencies > DEPENDENCIES_MAX) {
      throw new KrakenError(
        'manifest-invalid',
        `a tag may name at most ${MANIFESTS_MAX} manifests and ${DEPENDENCIES_MAX} digests`,
      );
    }
  }

  /** The order; each digest once, at its first place. Call it when nothing is wanted any more. */
  dependencies(): readonly Digest[] {
    const order = new Set<Digest>();
    const entered = new Set<Digest>();
    const visit = (digest: Digest): void => {
      // A cycle cannot be made with SHA-256; the set also keeps shared children from being walked twice.
      if (entered.has(digest)) return;
      entered.add(digest);
      const links = this.#links.get(digest);
      for (const child of links?.manifests ?? []) visit(child);
      for (const blob of links?.blobs ?? []) order.add(blob);
      order.add(digest);
    };
    visit(this.#root);
    return [...order];
  }
}
