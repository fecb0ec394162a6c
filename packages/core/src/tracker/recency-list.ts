/**
 * An intrusive doubly linked list in order of last use: `touch`, `remove` and `oldest` are O(1). A JavaScript Map keeps
 * insertion order too, but finding its first entry walks over the holes that earlier deletions left.
 */

/** What an element carries for each list that it is in. */
export interface Links<T> {
  older: T | undefined;
  newer: T | undefined;
}

export class RecencyList<T> {
  readonly #links: (item: T) => Links<T>;
  #oldest: T | undefined;
  #newest: T | undefined;
  #size = 0;

  /** @param links the links of `item` that belong to this list */
  constructor(links: (item: T) => Links<T>) {
    this.#links = links;
  }

  get size(): number {
    return this.#size;
  }

  get oldest(): T | undefined {
    return this.#oldest;
  }

  /** Append an element that is not in the list. */
  append(item: T): void {
    const links = this.#links(item);
    links.older = this.#newest;
    links.newer = undefined;
    if (this.#newest === undefined) this.#oldest = item;
    else this.#links(this.#newest).newer = item;
    this.#newest = item;
    this.#size++;
  }

  /** Take out an element that is in the list. */
  remove(item: T): void {
    const links = this.#links(item);
    if (links.older === undefined) this.#oldest = links.newer;
    else this.#links(links.older).newer = links.newer;
    if (links.newer === undefined) this.#newest = links.older;
    else this.#links(links.newer).older = links.older;
    links.older = undefined;
    links.newer = undefined;
    this.#size--;
  }

  /** Make an element of the list the newest. */
  touch(item: T): void {
    if (item === this.#newest) return;
    this.remove(item);
    this.append(item);
  }
}
