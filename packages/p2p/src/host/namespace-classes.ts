/**
 * Which share of the bandwidth a namespace draws from. Owns the rules and their compiled form. Never counts bytes
 * (`share-line.ts` does).
 *
 * All namespaces that no rule names form one class of weight 1; each rule makes a class of its own.
 */

/** A class of namespaces and its weight. */
export interface NamespaceWeight {
  /** Regular expression over namespaces; the first match wins; not anchored. */
  readonly namespace: string;
  /** > 0. While the bandwidth is short, classes share it in proportion to their weights. */
  readonly weight: number;
}

/** Compared by identity. */
export interface ShareClass {
  readonly weight: number;
}

export class NamespaceClasses {
  readonly #rules: readonly { readonly pattern: RegExp; readonly share: ShareClass }[];
  readonly #rest: ShareClass = { weight: 1 };

  /** @throws RangeError for a weight that is not positive, SyntaxError for a bad expression */
  constructor(weights: readonly NamespaceWeight[] = []) {
    this.#rules = weights.map(({ namespace, weight }) => {
      if (!(weight > 0 && weight < Infinity)) throw new RangeError(`weight expected > 0 and finite, got ${weight}`);
      return { pattern: new RegExp(namespace), share: { weight } };
    });
  }

  of(namespace: string): ShareClass {
    return this.#rules.find(({ pattern }) => pattern.test(namespace))?.share ?? this.#rest;
  }
}
