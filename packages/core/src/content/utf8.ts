/**
 * Strict UTF-8 between strings and byte ranges, without a text codec of the host: core runs where none is
 * declared. Source: RFC 3629 §3 (no surrogates, no overlong forms, nothing above U+10FFFF).
 */

const FLUSH_AT = 4096;

/** Bytes that {@link writeUtf8} needs for `text`. A lone surrogate counts as U+FFFD. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      length += 1;
    } else {
      length += 2;
      // A pair is two units and four bytes: the low half adds nothing to the 1 + 2 of the high half and its own 1.
      if (isHighSurrogate(unit) && isLowSurrogate(text.charCodeAt(i + 1))) i++;
    }
  }
  return length;
}

/**
 * Writes `text` at `at`; the caller has room for {@link utf8Length}. A lone surrogate becomes U+FFFD.
 * @returns the position behind the text
 */
export function writeUtf8(text: string, target: Uint8Array, at: number): number {
  let to = at;
  for (let i = 0; i < text.length; i++) {
    let point = text.charCodeAt(i);
    if (point < 0x80) {
      target[to++] = point;
      continue;
    }
    if (point < 0x800) {
      target[to++] = 0xc0 | (point >>> 6);
      target[to++] = 0x80 | (point & 0x3f);
      continue;
    }
    if (isSurrogate(point)) {
      const low = text.charCodeAt(i + 1);
      if (isHighSurrogate(point) && isLowSurrogate(low)) {
        point = 0x10000 + ((point & 0x3ff) << 10) + (low & 0x3ff);
        i++;
        target[to++] = 0xf0 | (point >>> 18);
        target[to++] = 0x80 | ((point >>> 12) & 0x3f);
        target[to++] = 0x80 | ((point >>> 6) & 0x3f);
        target[to++] = 0x80 | (point & 0x3f);
        continue;
      }
      point = 0xfffd;
    }
    target[to++] = 0xe0 | (point >>> 12);
    target[to++] = 0x80 | ((point >>> 6) & 0x3f);
    target[to++] = 0x80 | (point & 0x3f);
  }
  return to;
}

/** The text in `bytes[from, to)`, or `undefined` when it is not valid UTF-8. */
export function readUtf8(bytes: Uint8Array, from: number, to: number): string | undefined {
  let text = '';
  let units: number[] = [];
  for (let at = from; at < to;) {
    const lead = bytes[at] as number;
    if (lead < 0x80) {
      units.push(lead);
      at++;
    } else {
      const size = sequenceLength(lead);
      if (size === 0 || at + size > to) return undefined;
      let point = lead & (0x7f >>> size);
      for (let i = 1; i < size; i++) {
        const next = bytes[at + i] as number;
        if ((next & 0xc0) !== 0x80) return undefined;
        point = (point << 6) | (next & 0x3f);
      }
      if (!isCanonical(point, size)) return undefined;
      if (point < 0x10000) units.push(point);
      else units.push(0xd7c0 + (point >>> 10), 0xdc00 | (point & 0x3ff));
      at += size;
    }
    if (units.length >= FLUSH_AT) {
      text += String.fromCharCode(...units);
      units = [];
    }
  }
  return text + String.fromCharCode(...units);
}

/** Bytes of the sequence that starts with `lead`; 0 when none starts so. */
function sequenceLength(lead: number): number {
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

function isCanonical(point: number, size: number): boolean {
  if (size === 3) return point >= 0x800 && !isSurrogate(point);
  return size === 2 || (point >= 0x10000 && point <= 0x10ffff);
}

function isSurrogate(unit: number): boolean {
  return (unit & 0xf800) === 0xd800;
}

function isHighSurrogate(unit: number): boolean {
  return (unit & 0xfc00) === 0xd800;
}

function isLowSurrogate(unit: number): boolean {
  return (unit & 0xfc00) === 0xdc00;
}
