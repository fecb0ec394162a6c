/** A binary heap of sides of network cards by the share that they can give; ties in the order of insertion. */
import { doubled } from './flat.js';

export class SideHeap {
  #keys = new Float64Array(64);
  #orders = new Int32Array(64);
  #sides = new Int32Array(64);
  #size = 0;
  #inserted = 0;
  /** Key of what was popped last. */
  poppedKey = 0;

  push(side: number, key: number): void {
    let hole = this.#size++;
    if (hole === 0) this.#inserted = 0;
    if (hole === this.#keys.length) {
      this.#keys = doubled(this.#keys);
      this.#orders = doubled(this.#orders);
      this.#sides = doubled(this.#sides);
    }
    const keys = this.#keys;
    const orders = this.#orders;
    const sides = this.#sides;
    while (hole > 0) {
      const parent = (hole - 1) >>> 1;
      if ((keys[parent] as number) <= key) break;
      keys[hole] = keys[parent] as number;
      orders[hole] = orders[parent] as number;
      sides[hole] = sides[parent] as number;
      hole = parent;
    }
    keys[hole] = key;
    orders[hole] = this.#inserted++;
    sides[hole] = side;
  }

  /** @returns the side with the smallest key, or -1 */
  pop(): number {
    if (this.#size === 0) return -1;
    const keys = this.#keys;
    const orders = this.#orders;
    const sides = this.#sides;
    const first = sides[0] as number;
    this.poppedKey = keys[0] as number;
    const size = --this.#size;
    const key = keys[size] as number;
    const order = orders[size] as number;
    const last = sides[size] as number;
    let hole = 0;
    for (;;) {
      let child = hole * 2 + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#before(child + 1, child)) child++;
      const childKey = keys[child] as number;
      if (key < childKey || (key === childKey && order < (orders[child] as number))) break;
      keys[hole] = childKey;
      orders[hole] = orders[child] as number;
      sides[hole] = sides[child] as number;
      hole = child;
    }
    keys[hole] = key;
    orders[hole] = order;
    sides[hole] = last;
    return first;
  }

  #before(a: number, b: number): boolean {
    const keys = this.#keys;
    return (
      (keys[a] as number) < (keys[b] as number) ||
      (keys[a] === keys[b] && (this.#orders[a] as number) < (this.#orders[b] as number))
    );
  }
}
