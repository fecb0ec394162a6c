/** Ids on the wire: arrays of 20 integers where we keep hex. Source: spec tracker-agent-ring.md §0.1. */

export function hexBytes(hex: string): readonly number[] {
  return [...Buffer.from(hex, 'hex')];
}

/** @returns `undefined` for anything but a list of 20 bytes */
export function bytesHex(value: unknown): string | undefined {
  const isByte = (entry: unknown): entry is number =>
    Number.isInteger(entry) && Number(entry) >= 0 && Number(entry) <= 255;
  return Array.isArray(value) && value.length === 20 && value.every(isByte)
    ? Buffer.from(value).toString('hex')
    : undefined;
}
