/** Items ordered by when they are due: a binary heap. Owns order alone; whoever changes an item's due time pushes it again and ignores the stale entry. */

interface Entry<T> {
  readonly dueAtMs: number;
  readonly item: T;
}

export class DueHeap<T> {
  readonly #entries: Entry<T>[] = [];

  get size(): number {
    return this.#entries.length;
  }

  peek(): Entry<T> | undefined {
    return this.#entries[0];
  }

  push(dueAtMs: number, item: T): void {
    const entries = this.#entries;
    let index = entries.length;
    const added = { dueAtMs, item };
    entries.push(added);
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      const above = entries[parent];
      if (above === undefined || above.dueAtMs <= dueAtMs) break;
      entries[index] = above;
      index = parent;
    }
    entries[index] = added;
  }

  pop(): Entry<T> | undefined {
    const entries = this.#entries;
    const first = entries[0];
    const last = entries.pop();
    if (first === undefined || last === undefined || entries.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = entries[child];
      if (left === undefined) break;
      const right = entries[child + 1];
      let smaller = left;
      if (right !== undefined && right.dueAtMs < left.dueAtMs) {
        smaller = right;
        child++;
      }
      if (smaller.dueAtMs >= last.dueAtMs) break;
      entries[index] = smaller;
      index = child;
    }
    entries[index] = last;
    return first;
  }
}
